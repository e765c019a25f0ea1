//! Checks the promises against what each hook's receiver has accepted.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::sleep;

use super::faults::Fault;
use super::publish::Published;
use crate::support::look::number;
use crate::support::receiver::Request;

const CALLS: u64 = 8;
/// The number of deliveries of a hook that one fault may repeat: those in flight and those not yet synced in the ledger.
const REPEATS: usize = 40;

pub fn call(number: u64) -> String {
    format!("call-{}", number % CALLS)
}

/// The arrivals of one hook.
#[derive(Debug, Default)]
struct Arrivals {
    ordering: String,
    /// For each event, the delivery ids and how often each was accepted.
    accepted: HashMap<u64, (String, usize)>,
    /// For each call, the last event that arrived first; for a strict hook, one for all calls.
    last: HashMap<u64, u64>,
    broken: Vec<String>,
}

/// Collects the arrivals and checks them.
pub struct Verdict {
    hooks: Mutex<HashMap<String, Arrivals>>,
    arrivals: AtomicUsize,
    calm: AtomicBool,
    faults: Mutex<BTreeMap<Fault, usize>>,
}

impl Verdict {
    pub fn new(hooks: &[(&str, &str)]) -> Self {
        let arrivals = |ordering: &str| Arrivals { ordering: ordering.to_owned(), ..Arrivals::default() };
        let hooks = hooks.iter().map(|(path, ordering)| ((*path).to_owned(), arrivals(ordering)));
        Self {
            hooks: Mutex::new(hooks.collect()),
            arrivals: AtomicUsize::new(0),
            calm: AtomicBool::new(false),
            faults: Mutex::default(),
        }
    }

    /// From now on every request is accepted.
    pub fn calm(&self) {
        self.calm.store(true, Ordering::SeqCst);
    }

    pub fn is_calm(&self) -> bool {
        self.calm.load(Ordering::SeqCst)
    }

    /// Accepted requests so far.
    pub fn arrivals(&self) -> usize {
        self.arrivals.load(Ordering::SeqCst)
    }

    /// Records a fault.
    pub fn struck(&self, fault: Fault) {
        *self.faults.lock().unwrap().entry(fault).or_default() += 1;
    }

    /// The number of faults that explain repeats. Neither a changed hook nor a reload ends an attempt.
    fn explaining(&self) -> usize {
        let faults = self.faults.lock().unwrap();
        let ends_attempts = |fault: &Fault| !matches!(fault, Fault::HookComesAndGoes | Fault::Reload);
        faults.iter().filter(|(fault, _)| ends_attempts(fault)).map(|(_, times)| times).sum()
    }

    /// Records a request that is answered with 200.
    pub fn accepted(&self, request: &Request) {
        self.arrivals.fetch_add(1, Ordering::SeqCst);
        let mut hooks = self.hooks.lock().unwrap();
        let Some(hook) = hooks.get_mut(&request.path) else { return };
        let (number, id) = (number(request), request.header("webhook-id").unwrap_or_default());
        let known = hook.accepted.entry(number).or_insert_with(|| (id.to_owned(), 0));
        known.1 += 1;
        if known.0 != id {
            hook.broken.push(format!("{number} came as {} and as {id}", known.0));
        }
        if known.1 > 1 || hook.ordering == "none" {
            return;
        }
        let lane = if hook.ordering == "hook" { 0 } else { number % CALLS };
        if let Some(last) = hook.last.insert(lane, number).filter(|last| *last > number) {
            hook.broken.push(format!("{number} came first after {last}"));
        }
    }

    /// The number of events that the slowest hook has accepted.
    pub fn slowest(&self) -> usize {
        self.hooks.lock().unwrap().values().map(|hook| hook.accepted.len()).min().unwrap_or_default()
    }

    /// For each hook with missing events: its path, the number of missing events, the first of them.
    pub fn missing(&self, confirmed: &[u64]) -> Vec<(String, usize, u64)> {
        let hooks = self.hooks.lock().unwrap();
        let missing = hooks.iter().filter_map(|(path, hook)| {
            let mut lost = confirmed.iter().filter(|number| !hook.accepted.contains_key(number));
            let first = lost.next()?;
            Some((path.clone(), 1 + lost.count(), *first))
        });
        missing.collect()
    }

    pub async fn all_arrive(&self, confirmed: &[u64]) {
        while !self.missing(confirmed).is_empty() {
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn repeats(&self) -> usize {
        let hooks = self.hooks.lock().unwrap();
        hooks.values().flat_map(|hook| hook.accepted.values()).map(|(_, times)| times - 1).sum()
    }

    fn broken(&self) -> Vec<String> {
        let hooks = self.hooks.lock().unwrap();
        let all =
            hooks.iter().flat_map(|(path, hook)| hook.broken.iter().map(move |b| format!("{path}: {b}")));
        all.collect()
    }

    /// A summary in one line.
    pub fn summary(&self, published: &Published) -> String {
        let lost: usize = self.missing(&published.confirmed).iter().map(|(_, count, _)| count).sum();
        format!(
            "{} confirmed, {} uncertain, {} accepted, {} repeated, {lost} lost, {} out of order, after {:?}",
            published.confirmed.len(),
            published.uncertain,
            self.arrivals(),
            self.repeats(),
            self.broken().len(),
            self.faults.lock().unwrap(),
        )
    }

    /// Panics unless the order was kept and all repeats are explained.
    pub fn assert_kept(&self, confirmed: usize) {
        let broken = self.broken();
        assert!(broken.is_empty(), "{broken:?}");
        assert!(confirmed > 0);
        let bound = REPEATS * self.hooks.lock().unwrap().len() * (1 + self.explaining());
        assert!(self.repeats() <= bound, "{} repeats, at most {bound} are explained", self.repeats());
    }
}
