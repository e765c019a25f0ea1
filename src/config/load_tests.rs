//! Tests of `load.rs`.

use super::super::Masked;
use super::*;

fn with(settings: &[&str]) -> Result<Config, String> {
    let set = settings.iter().map(|s| (*s).to_owned()).collect();
    load(&Overlay { set, ..Overlay::default() }).map_err(|e| e.to_string())
}

#[test]
fn the_compiled_in_defaults_are_valid() {
    assert_eq!(Config::default().http.listen.port(), 8000);
    assert!(Config::default().amqp.uri.is_none());
}

#[test]
fn an_unknown_key_is_refused_by_name() {
    let error = with(&["delivery.max_inflight=3"]).unwrap_err();
    assert!(error.contains("unknown key 'delivery.max_inflight'"), "{error}");
}

#[test]
fn a_value_of_the_wrong_type_is_refused_with_its_key() {
    for more in ["retry.max_ms=1000", "retry.max_ms=soon"] {
        let error = with(&["delivery.max_in_flight=many", more]).unwrap_err();
        assert!(error.starts_with("delivery.max_in_flight"), "{error}");
    }
}

#[test]
fn a_value_out_of_range_is_refused_with_its_range() {
    let error = with(&["retry.initial_ms=5000", "retry.max_ms=100"]).unwrap_err();
    assert!(error.starts_with("retry.max_ms = 100"), "{error}");
}

#[test]
fn the_environment_overlays_and_the_command_line_comes_last() {
    let env = vec![
        ("SWITCHHOOK__DELIVERY__MAX_IN_FLIGHT".to_owned(), "77".to_owned()),
        ("SWITCHHOOK__AMQP__QUEUE".to_owned(), "5".to_owned()),
        ("UNRELATED".to_owned(), "x".to_owned()),
    ];
    let set = vec!["delivery.allow_addresses=[\"10.0.0.0/8\"]".to_owned(), "amqp.uri=amqp://a".to_owned()];
    let config = load(&Overlay { env, set, file: None }).unwrap();
    assert_eq!((config.delivery.max_in_flight, config.amqp.queue.as_str()), (77, "5"));
    assert_eq!(config.delivery.allow_addresses.len(), 1);
}

#[test]
fn an_error_for_the_log_names_key_and_rule_without_the_value() {
    let told = |setting: &str| {
        let overlay = Overlay { set: vec![setting.to_owned()], ..Overlay::default() };
        load(&overlay).unwrap_err().without_value()
    };
    assert_eq!(told("retry.initial_ms=0"), "retry.initial_ms: must be between 1 and 86400000");
    assert_eq!(
        told("retry.initial_ms=soon"),
        "retry.initial_ms: must be a whole number from 0 on, such as 2000"
    );
    assert!(told("retry.initial=77").contains("unknown key 'retry.initial'"));
}

#[test]
fn a_file_that_is_not_toml_is_refused_with_its_line_number_and_without_the_line() {
    let error = parse("[metrics]\ntoken = \"secret\n", "config file x").unwrap_err().to_string();
    assert!(error.starts_with("config file x: line 2: ") && !error.contains("secret"), "{error}");
}

#[test]
fn a_value_of_the_wrong_type_is_refused_with_the_rule_and_without_the_value() {
    for (setting, rule) in [
        ("http.listen=9741", "http.listen: must be an IP address with a port, such as \"127.0.0.1:8000\""),
        ("delivery.allow_addresses=10.9.8.7", "one address is 10.1.2.3/32"),
        ("delivery.nameservers=10.9.8.7", "10.0.0.53:53"),
        ("delivery.max_in_flight=-7", "must be a whole number from 0 on, such as 2048"),
        ("amqp.prefetch=70000", "must be a whole number from 0 to 65535, such as 1000"),
        ("accounts.auto_create=perhaps", "accounts.auto_create: must be true or false"),
        ("api.profile=Classic", "api.profile: must be classic or current"),
    ] {
        let error = with(&[setting]).unwrap_err();
        assert!(error.contains(rule), "{setting}: {error}");
        assert!(!error.contains(setting.split('=').next_back().unwrap()), "{setting}: {error}");
    }
}

#[test]
fn a_secret_in_the_wrong_place_is_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    for text in [
        "amqp = \"amqp://me:s3cr3t@h\"",
        "[auth]\nmaster_api_key = [\"s3cr3t\"]",
        "[metrics]\ntoken = { s3cr3t = 1 }",
    ] {
        let file = dir.path().join("file.toml");
        std::fs::write(&file, text).unwrap();
        let error = load(&Overlay { file: Some(file), ..Overlay::default() }).unwrap_err();
        assert!(error.to_string().contains("must be a"), "{text}: {error}");
        assert!(!format!("{error} {}", error.without_value()).contains("s3cr3t"), "{text}: {error}");
    }
}

#[test]
fn a_misspelled_key_is_refused_with_a_suggestion() {
    for (setting, right) in [
        ("delivery.allow_address=10.0.0.0/8", "delivery.allow_addresses"),
        ("allow_addresses=10.0.0.0/8", "delivery.allow_addresses"),
        ("htp.listen=127.0.0.1:1", "listen"),
    ] {
        let error = with(&[setting]).unwrap_err();
        assert!(error.contains("did you mean") && error.contains(right), "{error}");
    }
    assert!(!with(&["zzz=1"]).unwrap_err().contains("did you mean"));
    let env =
        |name: &str| load(&Overlay { env: vec![(name.to_owned(), "x".to_owned())], ..Overlay::default() });
    let error = env("SWITCHHOOK_HTTP_LISTEN").unwrap_err().to_string();
    assert!(error.contains("did you mean SWITCHHOOK__HTTP__LISTEN?"), "{error}");
    for service in ["SWITCHHOOK_PORT", "SWITCHHOOK_SERVICE_HOST", "SWITCHHOOK_PORT_8000_TCP_ADDR"] {
        env(service).unwrap();
    }
}

#[test]
fn a_secret_prints_as_stars() {
    let config =
        with(&["auth.master_api_key=0000000000000000000000000000000000000000000000000000000000000000"]);
    assert!(!format!("{config:?}").contains("0000000000"));
}

#[test]
fn zones_come_from_every_source_and_a_wrong_zone_is_refused_without_its_password() {
    let zone = |name: &str, uri: &str| format!(r#"{{name="{name}",uris=["amqp://me:s3cr3t@{uri}"]}}"#);
    let set = |zones: &[String]| format!("amqp.zones=[{}]", zones.join(","));
    let two = set(&[zone("ams", "a"), zone("fra", "b:5673")]);
    let names =
        |config: &Config| config.amqp.all_zones().into_iter().map(|zone| zone.name).collect::<Vec<_>>();
    assert_eq!(names(&with(&[&two]).unwrap()), ["ams", "fra"]);
    let value = two.split_once('=').unwrap().1.to_owned();
    let env = vec![("SWITCHHOOK__AMQP__ZONES".to_owned(), value)];
    assert_eq!(names(&load(&Overlay { env, ..Overlay::default() }).unwrap()), ["ams", "fra"]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file.toml");
    std::fs::write(&file, "[[amqp.zones]]\nname = \"ams\"\nuris = [\"amqp://me:s3cr3t@a\"]\n").unwrap();
    assert_eq!(names(&load(&Overlay { file: Some(file), ..Overlay::default() }).unwrap()), ["ams"]);
    let short = with(&["amqp.uri=amqp://me:s3cr3t@a,b:5673/%2f"]).unwrap().amqp.all_zones();
    assert_eq!(
        short[0].uris.iter().map(Masked::reveal).collect::<Vec<_>>(),
        ["amqp://me:s3cr3t@a/%2f", "amqp://me:s3cr3t@b:5673/%2f"]
    );
    for (settings, rule) in [
        (
            vec![two.clone(), "amqp.uri=amqp://me:s3cr3t@a".to_owned()],
            "must not be set together with amqp.zones",
        ),
        (vec![set(&[zone("ams", "a"), zone("ams", "b")])], "every zone needs its own name"),
        (vec![set(&[zone("ams", "a"), zone("fra", "a")])], "must not name a broker twice"),
        (vec![set(&[zone("", "a")])], "the name of a zone must have"),
        (vec![r#"amqp.zones=[{name="ams",uris=[]}]"#.to_owned()], "at least one of uris"),
        (vec!["amqp.zones=amqp://me:s3cr3t@a".to_owned()], "must be a list of zones"),
        (vec![r#"amqp.zones=[{name="ams",uri="amqp://me:s3cr3t@a"}]"#.to_owned()], "must be a list of zones"),
        (vec!["amqp.queue_type=s3cr3t".to_owned()], "must be classic or quorum"),
    ] {
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let error = with(&settings).unwrap_err();
        assert!(error.contains(rule) && !error.contains("s3cr3t"), "{settings:?}: {error}");
    }
}
