//! The URIs that a hook may have.

use super::*;

#[test]
fn public_http_and_https_uris_are_accepted() {
    for uri in [
        "http://receiver.example",
        "http://receiver.example/",
        "https://receiver.example:8443/a/b?c=d#e",
        "https://user:secret@receiver.example/in",
        "http://8.8.4.4:8080/x",
        "http://[2606:4700::6810:84e5]/x",
        "https://münchen.example/x",
        "https://receiver.example./x",
        "http://10.example/x",
        "http://a.b@c.example/x",
        "http://receiver.example/a b",
        "http://localhosts.example/",
    ] {
        assert!(uri_is_acceptable(uri, &[]), "{uri}");
    }
}

#[test]
fn other_schemes_and_malformed_uris_are_refused() {
    for uri in [
        "",
        " ",
        "receiver.example",
        "//receiver.example/",
        "ftp://receiver.example/",
        "HTTP://receiver.example/",
        "Https://receiver.example/",
        "http:receiver.example",
        "http:/receiver.example",
        "http://",
        "http:///a",
        "http://?q",
        "http://#f",
        "https://:80/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "gopher://a.example/",
        " http://receiver.example/",
        "http://rec eiver.example/",
        "http://receiver.example\\@b.example/",
        "http://receiver\n.example/",
        "http://receiver.example/\t",
        "http://receiver.example:99999/",
        "http://receiver.example:x/",
        "http://[::1",
        "http://a%00b.example/",
        "http://a<b.example/",
        "http://@/",
        "http://./",
        "http://../",
        "http://a..example/",
        "http://.example/",
    ] {
        assert!(!uri_is_acceptable(uri, &[]), "{uri:?}");
    }
}

#[test]
fn a_uri_to_which_no_request_can_be_made_is_refused_with_its_reason() {
    let label = "a".repeat(64);
    let name = ["a".repeat(60).as_str(); 5].join(".");
    for (uri, why) in [
        ("http://a{b.example/".to_owned(), UnusableUri::HostName),
        ("http://a\"b.example/".to_owned(), UnusableUri::HostName),
        ("http://a`b.example/".to_owned(), UnusableUri::HostName),
        ("http://*.example/".to_owned(), UnusableUri::HostName),
        ("http://{{host}}/".to_owned(), UnusableUri::HostName),
        (format!("http://{label}.example/"), UnusableUri::HostName),
        (format!("http://{name}/"), UnusableUri::HostName),
        ("http://receiver.example:0/".to_owned(), UnusableUri::Port),
        (format!("http://receiver.example/{}", "a".repeat(LONGEST_URI)), UnusableUri::TooLong),
        (format!("http://receiver.example/?{}", "\u{fc}".repeat(LONGEST_URI / 6)), UnusableUri::TooLong),
        ("ftp://receiver.example/".to_owned(), UnusableUri::NoUrl),
        ("http://localhost:9000/".to_owned(), UnusableUri::Forbidden),
        ("http://10.0.0.1/".to_owned(), UnusableUri::Forbidden),
    ] {
        assert_eq!(why_refused(&uri, &[]), Some(why), "{uri:.80}");
        assert!(!uri_is_acceptable(&uri, &[]), "{uri:.80}");
    }
    for uri in [
        "http://receiver.example/?a={b}&c=\"d\"&e=`f`&g=|^",
        "http://receiver.example/{a}/\"b\"/`c`/|^",
        "http://under_score.example/",
        "http://u:p{a}ss@receiver.example/#`",
    ] {
        assert!(uri_is_acceptable(uri, &[]), "{uri}");
    }
}

#[test]
fn no_spelling_hides_a_forbidden_address() {
    let forbidden = "http://localhost/ https://LocalHost:9/ http://localhost./ http://a.localhost/ \
        http://%6cocalhost/ http://user@localhost/ http://127.0.0.1/ http://127.0.0.1:8000/ \
        http://127.0.0.1./ http://127.1/ http://127.0.1/ http://2130706433/ http://0x7f000001/ \
        http://0x7f.1/ http://0177.0.0.1/ http://017700000001/ http://0x7F.0.0.0x1/ \
        http://127.255.255.254/ http://0/ http://0.0.0.0/ http://0x0/ http://10.1/ \
        http://0xa000001/ http://012.0.0.1/ http://167772161/ http://172.16.0.9/ \
        http://192.168.0.1/ http://3232235521/ http://169.254.169.254/latest http://0xa9fea9fe/ \
        http://2852039166/ http://0251.0376.0251.0376/ http://100.64.0.1/ http://224.0.0.1/ \
        http://255.255.255.255/ http://240.1.1.1/ http://198.18.0.1/ http://192.0.2.1/ \
        http://u:p@127.0.0.1/ http://u@127.0.0.1/ http://8.8.8.8@127.0.0.1/ \
        http://a.example:80@10.0.0.1/ http://a.example%2f@10.0.0.1/ http://[::1]/ http://[::]/ \
        http://[0:0:0:0:0:0:0:1]:80/ http://[::ffff:127.0.0.1]/ http://[::ffff:7f00:1]/ \
        http://[::ffff:a9fe:a9fe]/ http://[::127.0.0.1]/ http://[64:ff9b::127.0.0.1]/ \
        http://[64:ff9b::a00:1]/ http://[64:ff9b:1::1]/ http://[2002:7f00:1::]/ http://[fe80::1]/ \
        http://[fd00::1]/ http://[fc00::1]/ http://[fec0::1]/ http://[ff02::1]/ \
        http://[2001:db8::1]/ http://u:p@[::1]/ http://\u{ff11}\u{ff12}\u{ff17}.0.0.1/ \
        http://127\u{3002}0\u{3002}0\u{3002}1/ http://\u{24db}ocalhost/ http://1\u{fe52}1/";
    for uri in forbidden.split(' ') {
        assert!(!uri_is_acceptable(uri, &[]), "{uri}");
    }
}

#[test]
fn an_allowed_loopback_range_allows_localhost_and_nothing_else() {
    let v4: Vec<IpNet> = vec!["127.0.0.0/8".parse().unwrap()];
    let v6: Vec<IpNet> = vec!["::1/128".parse().unwrap()];
    let private: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
    for (uri, allow, acceptable) in [
        ("http://localhost:1/", &v4, true),
        ("http://localhost:1/", &v6, true),
        ("http://localhost:1/", &private, false),
        ("http://127.0.0.1:1/", &v4, true),
        ("http://127.0.0.1:1/", &v6, false),
        ("http://[::1]:1/", &v6, true),
        ("http://[::1]:1/", &v4, false),
        ("http://0x7f.1/", &v4, true),
        ("http://10.9.8.7/", &private, true),
        ("http://10.9.8.7/", &v4, false),
    ] {
        assert_eq!(uri_is_acceptable(uri, allow), acceptable, "{uri} {allow:?}");
    }
}
