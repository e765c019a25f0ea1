//! Which faults of an event's body are repaired, which are refused, and what stays unchanged.

use serde_json::Value;

use super::*;

fn mended(bytes: &[u8]) -> (String, Vec<&'static str>) {
    let reading = reading(bytes).unwrap();
    (String::from_utf8(reading.body.into_owned()).unwrap(), reading.mended.names().collect())
}

#[test]
fn strict_json_passes_byte_for_byte() {
    for text in [
        "{}",
        " [1, -0.50e+999 , 18446744073709551616,1E5]\n",
        r#"{"a":"\ud83d\ude00\u0041\n/","b":[true,false,null,""],"a":{"é😀":{}}}"#,
        "\"x\"",
        "0",
    ] {
        assert_eq!(mended(text.as_bytes()), (text.to_owned(), vec![]));
    }
    let deep = "[".repeat(MOST_DEPTH) + &"]".repeat(MOST_DEPTH);
    assert_eq!(mended(deep.as_bytes()), (deep, vec![]));
}

#[test]
fn only_texts_are_repaired() {
    for (given, expected, what) in [
        (&br#"["\ud83d"]"#[..], "[\"\u{fffd}\"]", "lone_surrogate"),
        (br#"["\ud83dx\ude00y"]"#, "[\"\u{fffd}x\u{fffd}y\"]", "lone_surrogate"),
        (br#"["\ud83d\ud83d\ude00"]"#, "[\"\u{fffd}\\ud83d\\ude00\"]", "lone_surrogate"),
        (b"[\"Zo\xeb\", 1]", "[\"Zo\u{fffd}\", 1]", "invalid_utf8"),
        (b"[\"\xf0\x9f\x98\"]", "[\"\u{fffd}\"]", "invalid_utf8"),
        (b"[\"\xed\xa0\xbd\xc3\xa9\"]", "[\"\u{fffd}\u{fffd}\u{fffd}\u{e9}\"]", "invalid_utf8"),
        (b"[\"a\x07\tb\n\"]", r#"["a\u0007\u0009b\u000a"]"#, "control_character"),
        (br#"["\x41\u12"]"#, r#"["\\x41\\u12"]"#, "unknown_escape"),
        (b"\xef\xbb\xbf{}", "{}", "byte_order_mark"),
        (
            br#"{"\u0024serde_json::private::Number":"x"}"#,
            r#"{"serde_json::private::Number":"x"}"#,
            "reserved_name",
        ),
        (
            br#"{"$serde_json::private::RawValue":1}"#,
            r#"{"serde_json::private::RawValue":1}"#,
            "reserved_name",
        ),
    ] {
        assert_eq!(mended(given), (expected.to_owned(), vec![what]));
        serde_json::from_str::<Value>(expected).unwrap();
    }
}

#[test]
fn a_container_nested_too_deeply_becomes_its_json_text() {
    let text = |levels: usize| "[".repeat(levels) + "\"\t\"" + &"]".repeat(levels);
    let (body, what) = mended(format!("{{\"a\":{},\"b\":1}}", text(200_000)).as_bytes());
    assert_eq!(what, ["control_character", "nesting"]);
    let value: Value = serde_json::from_str(&body).unwrap();
    let mut inner = &value["a"];
    for _ in 1..MOST_DEPTH {
        inner = &inner[0];
    }
    let expected = text(200_001 - MOST_DEPTH).replace('\t', "\\u0009");
    assert_eq!((inner.as_str().unwrap(), &value["b"]), (expected.as_str(), &1.into()));
}

#[test]
fn faults_outside_of_texts_are_refused() {
    for bad in [
        "",
        " ",
        "{",
        "[",
        "\"",
        "\"\\",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "[1,]",
        "{\"a\":1,}",
        "[1 2]",
        "01",
        "1.",
        "-",
        "1e",
        "+1",
        ".5",
        "tru",
        "nul",
        "NaN",
        "[}",
        "{]",
        "{}{}",
        "[1]]",
        "\u{e9}",
        "\"\\u12",
    ] {
        assert!(reading(bad.as_bytes()).is_err(), "{bad}");
        assert!(serde_json::from_str::<Value>(bad).is_err(), "{bad}");
    }
    assert_eq!(reading(b"{\xff"), Err(NotUnderstood::NotText(1)));
}

#[test]
fn malformed_json_names_its_account_only_in_complete_members() {
    let id = "b13fd1e2a7c94d5f8e0a6c3d9b2f4e71";
    let account = |text: String| account_before_break(text.as_bytes()).map(|id| id.to_string());
    for whole in [
        format!(r#"{{"Account-ID":"{id}","Event-Name":"x"#),
        format!(r#"{{"Custom-Channel-Vars":{{"Account-ID":"{id}","a":{{"b":[1,"#),
        format!(r#"{{"Account-ID":"{id}","Event-Name":01}}"#),
        format!(r#"{{"Account-ID":"{id}"}}"#),
    ] {
        assert_eq!(account(whole.clone()).as_deref(), Some(id), "{whole}");
    }
    for none in [
        format!(r#"{{"Account-ID":"{id}"#),
        format!(r#"{{"Caller-ID-Name":"\"Account-ID\":\"{id}\"","Event-Name":01}}"#),
        format!(r#"{{"x":{{"Account-ID":"{id}"}},"Event-Name":01}}"#),
        format!(r#"["Account-ID","{id}""#),
        String::new(),
    ] {
        assert_eq!(account(none.clone()), None, "{none}");
    }
}
