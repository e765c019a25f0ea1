//! A scrape over HTTP of a program with 10,000 hooks, all of which have waiting deliveries.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use serde_json::json;
use switchhook::app::App;
use switchhook::config::{Overlay, load};
use switchhook::model::Clock;
use switchhook::state::{Expect, Kind, Write as StateWrite};

const HOOKS: u64 = 10_000;
const SCRAPES: u32 = 20;

pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let set = vec![
            format!("data_dir={}", dir.path().display()),
            "http.listen=127.0.0.1:0".to_owned(),
            "log.reserve_bytes=0".to_owned(),
            "ledger.reserve_bytes=0".to_owned(),
        ];
        let app = App::build(load(&Overlay { set, ..Overlay::default() }).unwrap(), Clock::system());
        let app = app.await.unwrap();
        let (address, state, ingest) = (app.http_addr(), app.state().clone(), app.ingest().clone());
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(app.run(async move { drop(stopped.await) }));
        let master = state.settings().master;
        // Disabled by a person with "held": everything waits, and nothing is attempted.
        let hook = |number: u64| StateWrite {
            kind: Kind::Hook,
            id: format!("{number:032x}"),
            doc: json!({
                "pvt_account_id": master, "name": "bench", "uri": "https://192.0.2.1/", "hook": "channel_create",
                "enabled": false, "resume": "held",
            })
            .as_object()
            .cloned(),
            expect: Expect::Any,
        };
        for batch in 0..HOOKS / 500 {
            state.write((batch * 500..(batch + 1) * 500).map(|n| hook(n + 1)).collect()).await.unwrap();
        }
        let event = bytes::Bytes::from(super::call_event(&master.to_string(), 1, 1));
        ingest.submit(vec![event; 10], master).await.unwrap();
        tokio::task::spawn_blocking(move || measure(address)).await.unwrap();
        drop(stop);
        running.await.unwrap().unwrap();
    });
}

fn measure(address: std::net::SocketAddr) {
    let mut took = Vec::new();
    let mut bytes = 0;
    let before = super::drain::cpu();
    for _ in 0..SCRAPES {
        let began = Instant::now();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        took.push(began.elapsed().as_secs_f64() * 1e3);
        assert!(page.ends_with("# EOF\n") && page.matches("hook_waiting_deliveries{").count() == 10_000);
        bytes = page.len();
    }
    let cpu = super::drain::cpu() - before;
    took.sort_by(f64::total_cmp);
    println!(
        "scrape  {HOOKS} hooks: {:.1} ms median, {:.1} ms slowest of {SCRAPES}, {:.1} ms of CPU each, {:.1} MB",
        took[took.len() / 2],
        took[took.len() - 1],
        cpu / f64::from(SCRAPES) * 1e3,
        bytes as f64 / 1e6
    );
}
