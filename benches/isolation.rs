//! How late ten healthy hooks get their events, alone and beside a hundred others, in turn, with 100 events a
//! second for every hook. The receivers of the others never answer, on another host or on the same one, or answer after
//! nine seconds on the same host.

use serde_json::json;

use crate::clocked::Clocked;
use crate::figures::{Pace, Times, line, median};
use crate::latency::publish;
use crate::program::Program;

const ROUNDS: usize = 3;
const PER_S: u64 = 100;
/// Long enough to fill the windows of the hanging hooks and to let their attempts time out.
const SECONDS: u64 = 12;
const HEALTHY: u64 = 10;
const OTHERS: u64 = 100;

/// The other hooks, beside the healthy ones.
#[derive(Clone, Copy)]
enum Beside {
    Nothing,
    OnAnotherHost,
    OnTheirHost,
    SlowOnTheirHost,
}

const FORMS: [(Beside, &str); 4] = [
    (Beside::Nothing, "10 hooks alone"),
    (Beside::OnAnotherHost, "beside 100 hooks that hang on another host"),
    (Beside::OnTheirHost, "beside 100 hooks that hang on their host"),
    (Beside::SlowOnTheirHost, "beside 100 hooks on their host that take 9 s"),
];

pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut times: [Vec<Times>; FORMS.len()] = Default::default();
    for _ in 0..ROUNDS {
        for ((beside, _), times) in FORMS.iter().zip(&mut times) {
            times.push(runtime.block_on(round(*beside)));
        }
    }
    let of = |all: &mut [Times], part| median(all.iter_mut().map(|times| times.ms(part)).collect());
    let (mut alone_p50, mut alone_p99) = (None, None);
    for ((_, name), times) in FORMS.iter().zip(&mut times) {
        let (p50, p99) = (of(times, 0.5), of(times, 0.99));
        let (first_p50, first_p99) = (*alone_p50.get_or_insert(p50), *alone_p99.get_or_insert(p99));
        let ratios = format!("{:.2} and {:.2} times those alone", p50 / first_p50, p99 / first_p99);
        line("isolation", name, &format!("p50 {p50:>6.2} ms, p99 {p99:>6.2} ms: {ratios}"));
    }
}

async fn round(beside: Beside) -> Times {
    let (dir, receiver, elsewhere) = (tempfile::tempdir().unwrap(), Clocked::start(), Clocked::start());
    // Otherwise the failing hooks would be disabled, and disturb nobody.
    let program = Program::start(dir.path(), &["disable.failure_count=0"]).await;
    for number in 0..HEALTHY {
        program.hook(number, &receiver.uri("/"), json!({})).await;
    }
    let uri = match beside {
        Beside::Nothing => None,
        Beside::OnAnotherHost => Some(elsewhere.uri("/never")),
        Beside::OnTheirHost => Some(receiver.uri("/never")),
        Beside::SlowOnTheirHost => Some(receiver.uri("/slow")),
    };
    for number in 0..OTHERS {
        if let Some(uri) = &uri {
            program.hook(HEALTHY + number, uri, json!({"ordering": "none"})).await;
        }
    }
    let warm = publish(&program, Pace::for_seconds(1, PER_S)).await;
    drop(receiver.take(warm * HEALTHY).await);
    let count = publish(&program, Pace::for_seconds(SECONDS, PER_S)).await;
    let times = receiver.take(count * HEALTHY).await;
    program.stop().await;
    times
}
