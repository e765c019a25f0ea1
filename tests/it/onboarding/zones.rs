//! A KAZOO with a broker in each zone: every event counts once, zones do not wait for each other, and commands go to
//! the zone of the call.

use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use super::super::support::app::{TestApp, call_event};
use super::super::support::broker::{Broker, free_port};
use super::super::support::publisher::Publisher;
use super::super::support::receiver::{Receiver, Request};
use super::super::support::wait::eventually;

const SOON: Duration = Duration::from_secs(30);

fn event(account: &str, call: &str, number: u64, node: &str) -> Vec<u8> {
    let mut event = call_event("CHANNEL_CREATE", call, number);
    event["Custom-Channel-Vars"] = json!({"Account-ID": account});
    event["Node"] = node.into();
    event.to_string().into_bytes()
}

async fn publish(publisher: &Publisher, account: &str, call: &str, number: u64, node: &str) {
    let key = format!("call.CHANNEL_CREATE.{call}");
    publisher.publish("callevt", &key, &event(account, call, number, node)).await;
}

fn numbers(requests: &[Request]) -> Vec<u64> {
    let body = |request: &Request| serde_json::from_str::<Value>(request.text()).unwrap();
    requests
        .iter()
        .map(|request| body(request)["caller_id_number"].as_str().unwrap().parse().unwrap())
        .collect()
}

/// The response of `/health/ready` once it matches.
async fn ready_when(app: &TestApp, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually("readiness says what is wanted", SOON, || async {
        let text = app.api.raw("GET", "/health/ready", &[]).await;
        serde_json::from_str::<Value>(&text).ok().filter(&wanted)
    })
    .await
}

async fn hook(app: &TestApp, receiver: &Receiver) {
    app.api.hook(json!({"uri": receiver.uri("/"), "http_verb": "post", "format": "json"})).await;
}

/// A queue that receives the commands for one call, like the call's switch.
async fn listen_for_commands<'a>(publisher: &'a Publisher, call: &str) -> &'a Channel {
    publisher.declare("metaflow").await;
    let channel = publisher.channel();
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("switch".into(), options, FieldTable::default()).await.unwrap();
    let key = format!("metaflow.action.{call}.*");
    let options = QueueBindOptions::default();
    channel
        .queue_bind("switch".into(), "metaflow".into(), key.into(), options, FieldTable::default())
        .await
        .unwrap();
    channel
}

async fn has_command(channel: &Channel) -> bool {
    channel.basic_get("switch".into(), BasicGetOptions { no_ack: true }).await.unwrap().is_some()
}

#[tokio::test]
async fn each_event_of_two_zones_is_delivered_once_and_an_unreachable_zone_delays_no_other() {
    let ((mut ams, fra), receiver) =
        tokio::join!(async { tokio::join!(Broker::start(), Broker::start()) }, Receiver::start());
    let zones = format!(
        r#"amqp.zones=[{{name="ams",uris=["{}"]}},{{name="fra",uris=["{}"]}}]"#,
        ams.uri(),
        fra.uri()
    );
    let mut app = TestApp::with(&[&zones, "amqp.reconnect_max_ms=500"]).await;
    ready_when(&app, |ready| ready["ready"] == true).await;
    hook(&app, &receiver).await;
    let account = app.api.account.clone();
    let (in_ams, in_fra) = tokio::join!(async { Publisher::connect(&ams.uri()).await }, async {
        Publisher::connect(&fra.uri()).await
    });

    // Both zones' ecallmgrs are connected to the call's switch: each publishes on its own broker.
    tokio::join!(
        publish(&in_ams, &account, "both", 1, "ecallmgr@ams"),
        publish(&in_fra, &account, "both", 1, "ecallmgr@fra")
    );
    publish(&in_ams, &account, "ams", 2, "ecallmgr@ams").await;
    publish(&in_fra, &account, "fra", 3, "ecallmgr@fra").await;
    receiver.wait_for(3, SOON).await;
    // A copy that a broker held back for a while.
    publish(&in_fra, &account, "ams", 2, "ecallmgr@fra").await;
    publish(&in_fra, &account, "fra", 4, "ecallmgr@fra").await;
    let mut got = numbers(&receiver.wait_for(4, SOON).await);
    got.sort_unstable();
    assert_eq!(got, [1, 2, 3, 4]);

    // The call is in fra, so its command is not published in ams.
    let (ams_switch, fra_switch) =
        tokio::join!(listen_for_commands(&in_ams, "fra"), listen_for_commands(&in_fra, "fra"));
    let hung_up = app.api.own("POST", "/channels/fra", Some(json!({"data": {"action": "hangup"}}))).await;
    assert_eq!(hung_up.status, 202, "{hung_up:?}");
    assert!(has_command(fra_switch).await && !has_command(ams_switch).await);

    ams.kill();
    let ready = ready_when(&app, |ready| ready["ready"] == false).await;
    let fault = &ready["faults"][0];
    assert_eq!(fault["what"], "broker", "{ready}");
    assert!(fault["reason"].as_str().unwrap().starts_with("zone ams, 127.0.0.1:"), "{ready}");
    publish(&in_fra, &account, "fra", 5, "ecallmgr@fra").await;
    assert_eq!(numbers(&receiver.wait_for(5, SOON).await).last(), Some(&5));
    let metrics = app.api.text("/metrics").await;
    let connected = |zone: &str| {
        let line =
            metrics.lines().find(|l| l.starts_with("switchhook_broker_connected{") && l.contains(zone));
        line.and_then(|line| line.split(' ').next_back()).unwrap_or_default().to_owned()
    };
    assert_eq!(
        (connected("zone=\"ams\"").as_str(), connected("zone=\"fra\"").as_str()),
        ("0", "1"),
        "{metrics}"
    );
    let status = app.api.call("GET", "/admin/status", None).await;
    let states: Vec<&Value> =
        status.data()["brokers"].as_array().unwrap().iter().map(|b| &b["state"]).collect();
    assert_eq!(states, ["connecting", "connected"]);

    // The short form with two hosts of one zone; one of them is enough.
    let hosts = format!("amqp.uri={},{}", ams.uri(), fra.uri().rsplit_once('@').unwrap().1);
    app.restart(Some(&[&hosts, "amqp.reconnect_max_ms=500"])).await;
    let ready = ready_when(&app, |ready| ready["ready"] == true).await;
    assert_eq!(ready["notices"][0]["what"], "broker_standby", "{ready}");
    publish(&in_fra, &account, "fra", 6, "ecallmgr@fra").await;
    assert_eq!(numbers(&receiver.wait_for(6, SOON).await).last(), Some(&6));
}

/// Receives this many messages and disconnects without acknowledging any.
async fn die_with(broker: &Broker, count: usize) {
    let connection = Connection::connect(&broker.uri(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let consume = BasicConsumeOptions::default();
    let consuming = channel.basic_consume("switchhook".into(), "".into(), consume, FieldTable::default());
    let taking = async { consuming.await.unwrap().take(count).collect::<Vec<_>>().await };
    let taken = tokio::time::timeout(SOON, taking).await.expect("the broker hands out what it has");
    assert!(taken.len() == count && taken.iter().all(Result::is_ok));
    connection.close(200, "gone".into()).await.unwrap();
}

/// A certificate authority and a certificate that it has signed.
struct Authority {
    dir: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(dir.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { dir, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, name: &str) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.dir.path().join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.dir.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    fn file(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }
}

/// Publishes 20 events, kills three consumers before they acknowledge any, and stops and starts the broker. KAZOO's
/// messages are not persistent: a classic queue would lose them when the broker stops.
async fn keep_twenty(broker: &mut Broker, account: &str) -> Publisher {
    let publisher = Publisher::connect(&broker.uri()).await;
    for number in 0..20 {
        publish(&publisher, account, "call", number, "ecallmgr@ams").await;
    }
    // With a delivery limit of -1, this version of the broker would drop them.
    for _ in 0..3 {
        die_with(broker, 20).await;
    }
    broker.stop();
    broker.start_again().await;
    die_with(broker, 20).await;
    Publisher::connect(&broker.uri()).await
}

#[tokio::test]
async fn a_zone_over_tls_has_a_quorum_queue_that_survives_killed_consumers_a_stop_of_the_broker_and_lost_exchanges()
 {
    let (authority, port) = (Authority::new(), free_port());
    for name in ["localhost", "switchhook"] {
        authority.sign(name);
    }
    let (ca, certificate, key) =
        (authority.file("ca.pem"), authority.file("localhost.pem"), authority.file("localhost.key"));
    let config = format!(
        "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {ca}\nssl_options.certfile = {certificate}\n\
         ssl_options.keyfile = {key}\nssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n"
    );
    let (mut broker, receiver) = tokio::join!(Broker::start_with(&config), Receiver::start());
    let zone = |more: &str| {
        format!(r#"amqp.zones=[{{name="ams",uris=["amqps://guest:guest@localhost:{port}"]{more}}}]"#)
    };
    let own = format!(
        r#",certificate_file="{}",key_file="{}""#,
        authority.file("switchhook.pem"),
        authority.file("switchhook.key")
    );
    let trusting = format!(r#",ca_file="{ca}""#);
    let whole = zone(&format!("{trusting}{own}"));
    let settings = [whole.as_str(), "amqp.queue_type=quorum", "amqp.check_interval_ms=100"];
    let mut app = TestApp::with(&settings).await;
    ready_when(&app, |ready| ready["ready"] == true).await;
    hook(&app, &receiver).await;
    let account = app.api.account.clone();
    app.stop().await;

    let publisher = keep_twenty(&mut broker, &account).await;
    app.restart(None).await;
    assert_eq!(numbers(&receiver.wait_for(20, SOON).await), (0..20).collect::<Vec<_>>());
    let status = app.api.call("GET", "/admin/status", None).await;
    assert_eq!(status.data()["broker"]["queue_notices"], json!([]), "the queue is as it should be");

    // The exchange is deleted with its binding, as when the broker stops; then a KAZOO node declares the exchange again.
    let gone = ExchangeDeleteOptions::default();
    publisher.channel().exchange_delete("callevt".into(), gone).await.unwrap();
    publisher.declare("callevt").await;
    eventually("the queue is bound again", SOON, async || {
        publish(&publisher, &account, "again", 20, "ecallmgr@ams").await;
        (receiver.count() > 20).then_some(())
    })
    .await;

    // A queue keeps its type, and the notice says how to change it.
    app.restart(Some(&[&whole, "amqp.queue_type=classic"])).await;
    let ready = ready_when(&app, |ready| ready["notices"].to_string().contains("amqp.queue_type")).await;
    assert!(ready["ready"] == true && ready.to_string().contains("switchhook amqp renew"), "{ready}");

    // A broker with an untrusted certificate, and a broker that does not accept our certificate.
    for more in [&own, &trusting] {
        app.restart(Some(&[&zone(more), "amqp.reconnect_max_ms=500"])).await;
        let ready = ready_when(&app, |ready| ready["faults"].to_string().contains("ertificate")).await;
        assert_eq!(ready["faults"][0]["what"], "broker", "{ready}");
        assert!(
            ready["faults"][0]["reason"].as_str().unwrap().starts_with("zone ams, localhost:"),
            "{ready}"
        );
    }
}
