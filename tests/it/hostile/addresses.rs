//! Every form of a forbidden address is refused when a hook is written, and is never connected to if it was written
//! while it was allowed.

use serde_json::{Value, json};
use switchhook::tasks::{Stop, Tasks};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::support::app::{TestApp, call_event};
use crate::support::look::attempts_when;
use crate::support::receiver::{Mood, Receiver};

const NOTHING: &str = "delivery.allow_addresses=[]";
/// Allows all addresses.
const ALL: &str = "delivery.allow_addresses=[\"0.0.0.0/0\",\"::/0\"]";

/// Authorities of this machine, where a listener counts connections at the port `{p}`.
const LOOPBACK: &str = "localhost:{p} LOCALHOST:{p} localhost.:{p} LocalHost.:{p} a.localhost:{p} \
    a.b.localhost.:{p} %6cocalhost:{p} %4C%4fcalhost:{p} \u{24db}ocalhost:{p} \u{ff4c}ocalhost:{p} \
    user@localhost:{p} user:secret@localhost:{p} \
    127.0.0.1:{p} 127.0.0.1.:{p} 127.1:{p} 127.0.1:{p} 127.0.0.01:{p} 127.1.2.3:{p} 127.255.255.254:{p} \
    2130706433:{p} 0x7f000001:{p} 0X7F000001:{p} 0x7f.1:{p} 0x7f.0.0.0x1:{p} 0x7f.0x0.0x1:{p} \
    0177.0.0.1:{p} 0177.1:{p} 00000177.0.0.1:{p} 017700000001:{p} 0177.0x0.1:{p} 127.0x00000001:{p} \
    \u{ff11}\u{ff12}\u{ff17}.0.0.1:{p} 127\u{3002}0\u{3002}0\u{3002}1:{p} 127\u{ff0e}1:{p} 127\u{ff61}1:{p} \
    \u{2460}\u{2461}\u{2466}.1:{p} %31%32%37.0.0.1:{p} 127%2e0%2e0%2e1:{p} \u{1d7cf}27.1:{p} \
    8.8.8.8@127.0.0.1:{p} a.example:80@127.0.0.1:{p} user:p%40ss@127.0.0.1:{p} a.example%2f@127.0.0.1:{p} \
    a.example%00@127.0.0.1:{p} @127.0.0.1:{p} a.example%23@127.1:{p} \
    0:{p} 0.0.0.0:{p} 0x0:{p} 00:{p} 0.0:{p} \
    [::1]:{p} [0:0:0:0:0:0:0:1]:{p} [0000::0001]:{p} [::]:{p} [0::0]:{p} user@[::1]:{p} \
    [::ffff:127.0.0.1]:{p} [::ffff:7f00:1]:{p} [0:0:0:0:0:ffff:127.0.0.1]:{p} [::FFFF:127.1.1.1]:{p} \
    [::127.0.0.1]:{p} [::7f00:1]:{p} [::ffff:0:0]:{p} [::ffff:0:127.0.0.1]:{p}";

/// Authorities elsewhere. They are never connected to, so nothing needs to listen there.
const ELSEWHERE: &str = "[64:ff9b::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b::a9fe:a9fe] [64:ff9b::10.0.0.1] \
    [64:ff9b:1::1] [64:ff9b:1:ffff::127.0.0.1] [2002:7f00:1::1] [2002:a00:1::] [2002:c0a8:101::1] \
    [2002:a9fe:a9fe::] [2001:0:7f00:1::] [2001:0:808:808:0:0:80ff:fffe] [2001::1] \
    [fe80::1] [febf::1] [fec0::1] [fc00::1] [fd00:ec2::254] [ff02::1] [ff0e::1] [100::1] [2001:2::1] \
    [2001:10::1] [2001:20::1] [2001:db8::1] [3fff::1] [4000::1] [5f00::1] [::ffff:169.254.169.254] \
    [::ffff:10.1.2.3] [::ffff:8.8.8.8] [::8.8.8.8] \
    169.254.169.254 169.254.1.1 0xa9fea9fe 2852039166 0251.0376.0251.0376 169.254.43518 \
    10.0.0.1 10.1 0xa.1 012.0.0.1 167772161 172.16.0.1 172.31.255.254 0xac.0x10.1 192.168.0.1 192.168.1 \
    3232235521 0300.0250.1 100.64.0.1 100.127.255.254 100.100.100.200 198.18.0.1 198.19.255.254 192.0.0.1 \
    192.0.0.170 192.0.2.1 198.51.100.1 203.0.113.1 192.88.99.1 224.0.0.1 239.255.255.250 0xe0000001 \
    240.0.0.1 255.255.255.255 0xffffffff 4294967295 037777777777 0.1.2.3 0.0.0.1";

/// Texts that are not URIs, or must not be stored whatever is allowed.
const NEVER: &str = "http://[::1%25lo]:{p}/ http://[::1%lo]:{p}/ http://[fe80::1%25eth0]/ http://[fe80::1%1]/ \
    http://127.0.0.256:{p}/ http://127.0.0.1.1:{p}/ http://0x7f.0.0.0.1:{p}/ http://4294967296:{p}/ \
    http://0x1ffffffff:{p}/ http://127.0.0.1:{p}:80/ http://127.0.0.1:99999/ http://[::1]:-1/ \
    http://a.example\\@127.0.0.1:{p}/ http://127.0.0.1\\.a.example:{p}/ http:127.0.0.1:{p}/ \
    http:/127.0.0.1:{p}/ http:///127.0.0.1:{p}/ //127.0.0.1:{p}/ 127.0.0.1:{p} HTTP://127.0.0.1:{p}/ \
    ftp://127.0.0.1:{p}/ file:///etc/passwd gopher://127.0.0.1:{p}/ unix:/run/x data:text/plain,x \
    http://127.0.0.1%00.a.example:{p}/ http://\t127.0.0.1:{p}/ http://[127.0.0.1]:{p}/ http://[::g]:{p}/ \
    http://[::ffff:127.0.0.256]:{p}/ http://[1:2:3:4:5:6:7:8:9]/ http://./ http://..:{p}/ http://:{p}/ http://@:{p}/";

/// Counts the connections to a port, over IPv4 and IPv6.
async fn counting() -> (u16, watch::Receiver<usize>, Stop) {
    let (count, counted) = watch::channel(0);
    let four = TcpListener::bind(("0.0.0.0", 0)).await.unwrap();
    let port = four.local_addr().unwrap().port();
    let six = TcpListener::bind(("::1", port)).await.unwrap();
    let stop = Stop::new();
    for listener in [four, six] {
        let (count, stop) = (count.clone(), stop.clone());
        drop(Tasks::new().spawn("listener", async move {
            let accepting = async {
                while listener.accept().await.is_ok() {
                    count.send_modify(|count| *count += 1);
                }
            };
            stop.run_until_cancelled(accepting).await
        }));
    }
    (port, counted, stop)
}

fn uris(port: u16) -> Vec<String> {
    let with_port = LOOPBACK.split_whitespace().map(|host| host.replace("{p}", &port.to_string()));
    let all = with_port.chain(ELSEWHERE.split_whitespace().map(str::to_owned));
    all.map(|authority| format!("http://{authority}/x?a=b")).collect()
}

fn document(uri: &str) -> Value {
    json!({"name": "n", "hook": "channel_create", "uri": uri, "retries": 1})
}

#[tokio::test]
async fn no_spelling_of_a_forbidden_address_is_stored_or_ever_connected_to() {
    let (port, connections, _listening) = counting().await;
    let uris = uris(port);
    assert!(uris.len() > 100, "{} forms", uris.len());
    let more = ["disable.failure_count=0", "delivery.per_host_in_flight=1024"];
    let mut app = TestApp::with(&[&more[..], &[ALL]].concat()).await;
    let mut hooks = Vec::new();
    for uri in &uris {
        hooks.push((uri, app.api.hook(document(uri)).await));
    }

    app.restart(Some(&[&more[..], &[NOTHING]].concat())).await;
    for uri in &uris {
        let answer = app.api.own("PUT", "/webhooks", Some(json!({"data": document(uri)}))).await;
        assert_eq!((answer.status, answer.data()["uri"].is_object()), (400, true), "{uri}: {answer:?}");
    }
    app.api.publish(&[call_event("CHANNEL_CREATE", "c", 1)]).await;
    for (uri, hook) in &hooks {
        let rows = attempts_when(&app.api, hook, 1).await;
        let error = rows[0]["client_error"].as_str().unwrap();
        // Some resolvers do not know all names of this machine.
        let is_unknown_name = uri.to_lowercase().contains("local") && error == "failed_connect: nxdomain";
        assert!(error == "forbidden_address" || is_unknown_name, "{uri}: {rows:?}");
    }
    assert_eq!(*connections.borrow(), 0);

    // The listener works: allowed requests arrive.
    app.restart(Some(&[&more[..], &["delivery.allow_addresses=[\"127.0.0.0/8\"]"]].concat())).await;
    app.api.hook(document(&format!("http://0x7f.1:{port}/"))).await;
    app.api.publish(&[call_event("CHANNEL_CREATE", "c", 2)]).await;
    tokio::time::timeout(crate::support::look::LONG, connections.clone().wait_for(|n| *n > 0))
        .await
        .unwrap()
        .unwrap();
    app.stop().await;
}

#[tokio::test]
async fn an_invalid_uri_is_refused_whatever_addresses_are_allowed() {
    let (port, connections, _listening) = counting().await;
    let mut app = TestApp::with(&[ALL]).await;
    for uri in NEVER.split(' ').filter(|uri| !uri.is_empty()) {
        let uri = uri.replace("{p}", &port.to_string());
        let answer = app.api.own("PUT", "/webhooks", Some(json!({"data": document(&uri)}))).await;
        assert_eq!((answer.status, answer.data()["uri"].is_object()), (400, true), "{uri}: {answer:?}");
    }
    assert_eq!(*connections.borrow(), 0);
    app.stop().await;
}

#[tokio::test]
async fn no_redirect_leads_to_a_forbidden_address() {
    let (port, connections, _listening) = counting().await;
    let receiver = Receiver::start().await;
    let allowed = "delivery.allow_addresses=[\"127.0.0.1/32\"]";
    let mut app = TestApp::with(&["disable.failure_count=0", allowed]).await;
    for status in [301, 302, 303, 307, 308] {
        let to = format!("http://127.0.0.2:{port}/");
        let headers = [("location", to.as_str()), ("refresh", to.as_str())];
        let path = format!("/{status}");
        receiver.mood_at(&path, Mood::answer(status, &headers, ""));
        let hook = app.api.hook(document(&receiver.uri(&path))).await;
        app.api.publish(&[call_event("CHANNEL_CREATE", &path, 1)]).await;
        let rows = attempts_when(&app.api, &hook, 1).await;
        assert_eq!(rows[0]["resp_status_code"], status.to_string(), "{rows:?}");
    }
    assert_eq!(*connections.borrow(), 0);
    app.stop().await;
}
