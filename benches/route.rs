//! Finds the hooks of an event among 10 and among 10,000.

use std::hint::black_box;
use std::time::Instant;

use switchhook::kazoo::hook_from_document;
use switchhook::model::{Account, AccountId, FailureLimits, Family};
use switchhook::queues::Router;

const ROUNDS: u32 = 1_000_000;

pub(crate) fn run() {
    for hooks in [10_u32, 10_000] {
        let mut router = Router::new();
        for number in 0..hooks {
            let document = serde_json::json!({
                "_id": AccountId(u128::from(number) + 1), "pvt_account_id": AccountId(u128::from(number / 2)),
                "name": "bench", "uri": "http://127.0.0.1/", "hook": "channel_create",
            });
            router.insert(&hook_from_document(document.as_object().unwrap()).unwrap(), number);
        }
        let account = Account {
            id: AccountId(3),
            tree: vec![AccountId(1_000_000), AccountId(1_000_001)],
            name: String::new(),
            realm: None,
            is_reseller: false,
            enabled: true,
            failure_limits: FailureLimits::default(),
        };
        let mut found = 0_u32;
        let began = Instant::now();
        for _ in 0..ROUNDS {
            router.candidates(black_box(&account), [Family::ChannelCreate].into_iter(), |_| found += 1);
        }
        let each = began.elapsed().as_secs_f64() / f64::from(ROUNDS) * 1e9;
        println!("route   {hooks:>6} hooks: {each:>5.0} ns an event, {} found each", found / ROUNDS);
    }
}
