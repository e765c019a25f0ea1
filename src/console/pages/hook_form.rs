//! The form of a hook: each field with its meaning and its default, and the conversion of the input into a document.
//! Pure.

use maud::{Markup, html};
use serde_json::{Map, Value};

use super::Sent;
use crate::kazoo;

/// The kind of an input field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    /// A choice of values, with words for people.
    Choice(&'static [(&'static str, &'static str)]),
    /// The event types that a hook may ask for.
    Event,
    /// On or off, with the default.
    Switch(bool),
    /// Lines of names and values, with the separator between them.
    Pairs(&'static str),
}

/// A field of the form.
#[derive(Debug)]
struct Field {
    name: &'static str,
    label: &'static str,
    kind: Kind,
    hint: &'static str,
}

const fn field(name: &'static str, label: &'static str, kind: Kind, hint: &'static str) -> Field {
    Field { name, label, kind, hint }
}

const VERBS: &[(&str, &str)] = &[("post", "POST"), ("put", "PUT"), ("get", "GET, payload in the query")];
const FORMATS: &[(&str, &str)] = &[("form-data", "Form"), ("json", "JSON")];
const ORDERS: &[(&str, &str)] =
    &[("", "Each call, fax or document (default)"), ("hook", "All events of the hook"), ("none", "No order")];
const SUCCESSES: &[(&str, &str)] = &[
    ("", "200, and 201 for PUT (default)"),
    ("kazoo", "200, and 201 for PUT, as KAZOO"),
    ("2xx", "Any 2xx"),
];
const RESUMES: &[(&str, &str)] = &[("", "From the present (default)"), ("held", "From where it stopped")];

/// The label of a field of the form, or of a field in it (`headers.x-key`).
pub(in crate::console) fn label(name: &str) -> Option<&'static str> {
    let name = name.split('.').next().unwrap_or(name);
    let mut fields = GROUPS.iter().flat_map(|(_, fields)| *fields);
    fields.find(|field| field.name == name).map(|field| field.label)
}

/// The groups of the form.
const GROUPS: &[(&str, &[Field])] = &[
    (
        "What and where",
        &[
            field("name", "Name", Kind::Text, "For people. It says whose system gets the events."),
            field(
                "hook",
                "Event",
                Kind::Event,
                "Which events are sent. Missed calls and voicemails are notifications; a type in Extra fields chooses among them.",
            ),
            field(
                "uri",
                "Address",
                Kind::Text,
                "An http:// or https:// address that your system answers at.",
            ),
            field("http_verb", "Method", Kind::Choice(VERBS), "How the request is sent. Default: POST."),
            field(
                "format",
                "Body",
                Kind::Choice(FORMATS),
                "KAZOO sends a form unless JSON is chosen. JSON keeps numbers and lists as they are.",
            ),
            field(
                "custom_data",
                "Extra fields",
                Kind::Pairs("="),
                "One “name=value” on each line, added to every payload; type and action choose events instead. For notifications: type=missed_call sends only missed calls, type=all sends every notification. For object, give both: type=user and action=doc_edited. Quotes keep line breaks and outer spaces: \"name\"=\"two\\nlines\".",
            ),
        ],
    ),
    (
        "Which calls and accounts",
        &[
            field(
                "include_subaccounts",
                "Events of accounts below",
                Kind::Switch(false),
                "Off: the events of this account alone.",
            ),
            field(
                "include_internal_legs",
                "Internal legs",
                Kind::Switch(true),
                "On: also the legs of calls between the account's own phones.",
            ),
        ],
    ),
    (
        "Delivery",
        &[
            field(
                "retries",
                "Tries",
                Kind::Number,
                "How often a delivery is tried before it is dead, 0 to 4. Empty: 2.",
            ),
            field(
                "ordering",
                "Order",
                Kind::Choice(ORDERS),
                "A later event waits until the one before it is delivered.",
            ),
            field(
                "success",
                "What counts as delivered",
                Kind::Choice(SUCCESSES),
                "Any other answer is tried again.",
            ),
            field(
                "timeout_ms",
                "Time for an answer, ms",
                Kind::Number,
                "100 to 120000. Empty: the installation's default.",
            ),
            field(
                "max_in_flight",
                "Deliveries at once",
                Kind::Number,
                "1 to 256. Empty: the installation's default.",
            ),
            field("rate_limit_per_s", "Deliveries a second", Kind::Number, "1 to 1000. Empty: no limit."),
            field(
                "resume",
                "After a person enables it",
                Kind::Choice(RESUMES),
                "Where delivery begins when a person had disabled the hook.",
            ),
            field(
                "headers",
                "Extra headers",
                Kind::Pairs(":"),
                "One “Name: value” a line, at most 20. For your system's own token, for example.",
            ),
        ],
    ),
];

/// The values of a new hook before any input.
pub(super) fn fresh() -> Value {
    serde_json::json!({"hook": "channel_create", "http_verb": "post", "format": "json", "retries": 2,
        "include_internal_legs": true, "include_subaccounts": false})
}

/// The document of an input; an empty field is null.
pub(super) fn document(sent: &Sent) -> Map<String, Value> {
    let mut out = Map::new();
    for Field { name, kind, .. } in GROUPS.iter().flat_map(|(_, fields)| fields.iter()) {
        let text = sent.text(name).trim();
        let value = match kind {
            Kind::Switch(_) => (text == "true").into(),
            _ if text.is_empty() => Value::Null,
            // A text that is not a number goes to the API unchanged, which then explains the error.
            Kind::Number => text.parse::<u64>().map_or_else(|_| text.into(), Value::from),
            Kind::Pairs(between) => pairs(text, between),
            _ => text.into(),
        };
        out.insert((*name).to_owned(), value);
    }
    out
}

/// Lines of names and values as an object.
fn pairs(text: &str, between: &str) -> Value {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let pair = |line| quoted_pair(line, between).unwrap_or_else(|| plain_pair(line, between));
    Value::Object(lines.map(pair).map(|(name, value)| (name, value.into())).collect())
}

/// `name=value` without quotes; without a separator the value is empty.
fn plain_pair(line: &str, between: &str) -> (String, String) {
    let (name, value) = line.split_once(between).unwrap_or((line, ""));
    (name.trim().to_owned(), value.trim().to_owned())
}

/// `"name"="value"`, both as JSON: the only form for texts with line breaks or outer spaces.
fn quoted_pair(line: &str, between: &str) -> Option<(String, String)> {
    let mut texts = serde_json::Deserializer::from_str(line).into_iter::<String>();
    let name = texts.next()?.ok()?;
    let value = line.get(texts.byte_offset()..)?.trim_start().strip_prefix(between)?;
    Some((name, serde_json::from_str(value).ok()?))
}

/// The fields, with their values and errors.
pub(super) fn fields(values: &Value, faults: &[(String, String)]) -> Markup {
    html! {
        @for (title, fields) in GROUPS {
            fieldset.card {
                legend { (title) }
                @for field in *fields { (field_row(field, values.get(field.name).unwrap_or(&Value::Null), faults)) }
            }
        }
    }
}

fn field_row(field: &Field, value: &Value, faults: &[(String, String)]) -> Markup {
    let Field { name, label, kind, hint } = field;
    let below = format!("{name}.");
    let fault: Vec<&str> = faults
        .iter()
        .filter(|(known, _)| known == name || known.starts_with(&below))
        .map(|(_, text)| text.as_str())
        .collect();
    let (hint_id, fault_id) = (format!("{name}-hint"), format!("{name}-fault"));
    let described = if fault.is_empty() { hint_id.clone() } else { format!("{fault_id} {hint_id}") };
    let invalid = (!fault.is_empty()).then_some("true");
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let is_required = ["name", "uri"].contains(name);
    html! {
        div.field.broad[*kind == Kind::Event || *name == "uri"] {
            @match kind {
                Kind::Switch(default) => {
                    label.check {
                        input type="checkbox" name=(name) value="true" checked[value.as_bool().unwrap_or(*default)] aria-describedby=(described);
                        strong { (label) }
                    }
                }
                Kind::Pairs(between) => {
                    label for=(name) { (label) }
                    textarea #(name) name=(name) rows="3" aria-describedby=(described) aria-invalid=[invalid] {
                        (lines(value, between))
                    }
                }
                Kind::Choice(choices) => {
                    label for=(name) { (label) }
                    select #(name) name=(name) aria-describedby=(described) aria-invalid=[invalid] {
                        @for (each, words) in *choices { option value=(each) selected[*each == text] { (words) } }
                    }
                }
                Kind::Event => {
                    label for=(name) { (label) }
                    select #(name) name=(name) aria-describedby=(described) aria-invalid=[invalid] {
                        @for each in kazoo::hook_ids() { option value=(each) selected[each == text] { (each) (meaning(each)) } }
                    }
                }
                Kind::Text | Kind::Number => {
                    label for=(name) { (label) }
                    input #(name) name=(name) value=(text) inputmode=[(*kind == Kind::Number).then_some("numeric")]
                        required[is_required] aria-describedby=(described) aria-invalid=[invalid] autocomplete="off";
                }
            }
            @for text in &fault { p.fault id=(fault_id) { (text) } }
            p.hint id=(hint_id) { (hint) }
        }
    }
}

/// What an event type is, for people who do not know KAZOO's names.
pub(super) fn meaning(event: &str) -> &'static str {
    match event {
        "all" => ": everything of the account",
        "callflow" => ": nothing; a call flow's webhook names its own address",
        "channel_answer" => ": a call is answered",
        "channel_bridge" => ": two legs of a call are connected",
        "channel_create" => ": a call begins",
        "channel_destroy" => ": a call ends",
        "inbound_fax" => ": a fax was received",
        "mms" => ": a message with media",
        "notifications" => ": missed calls, voicemails, faxes, …",
        "object" => ": a document is created, changed or deleted",
        "outbound_fax" => ": a fax was sent",
        "parking" => ": a call is parked or retrieved",
        "sms" => ": a text message",
        _ => "",
    }
}

/// One line for each name and value. Reading the lines again gives the same names and values, so that saving an
/// unchanged form changes nothing.
fn lines(value: &Value, between: &str) -> String {
    let mut out = String::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let gap = if between == ":" { " " } else { "" };
        let plain = format!("{name}{between}{gap}{value}");
        let pair = (name.clone(), value);
        let is_safe = !plain.contains(char::is_control)
            && quoted_pair(&plain, between).is_none()
            && plain_pair(plain.trim(), between) == pair;
        if is_safe {
            out.push_str(&plain);
        } else {
            out.extend([
                Value::from(pair.0).to_string().as_str(),
                between,
                gap,
                &Value::from(pair.1).to_string(),
            ]);
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_becomes_a_document_and_the_same_form_again() {
        let sent = Sent::of_text(
            "name=a&hook=all&uri=http%3A%2F%2Fx%2F&retries=3&timeout_ms=soon&headers=X-A%3A+1%0D%0AX-B%3A2&include_internal_legs=true",
        );
        let document = document(&sent);
        assert_eq!(document["retries"], 3);
        assert_eq!(document["timeout_ms"], "soon");
        assert_eq!(document["headers"], serde_json::json!({"X-A": "1", "X-B": "2"}));
        assert_eq!(
            (&document["include_internal_legs"], &document["include_subaccounts"]),
            (&true.into(), &false.into())
        );
        assert_eq!(document["ordering"], Value::Null);
        let page = fields(&Value::Object(document), &[("timeout_ms".into(), "must be a number".into())])
            .into_string();
        assert!(
            page.contains("X-A: 1\nX-B: 2\n")
                && page.contains("must be a number")
                && page.contains(r#"value="soon""#)
        );
    }
    #[test]
    fn names_and_values_that_lines_cannot_hold_are_quoted_and_come_back_unchanged() {
        let texts = [
            "plain",
            "a=b",
            "a: b",
            "two\nlines=x",
            " outer ",
            "\r",
            "\u{0}",
            "\"q\"",
            "\"",
            "{}",
            "\"a\"=\"b\"",
            "\\n",
            "",
        ];
        for between in ["=", ":"] {
            for name in texts {
                let all: Map<String, Value> = texts
                    .iter()
                    .enumerate()
                    .map(|(at, text)| (format!("{name}{at}"), (*text).into()))
                    .collect();
                let mut all = Value::Object(all);
                all[name] = "x".into();
                let shown = lines(&all, between);
                assert_eq!(pairs(&shown.replace('\n', "\r\n"), between), all, "{shown}");
            }
        }
        assert_eq!(
            lines(&serde_json::json!({"a": "b=c", "k": "it's \"so\""}), "="),
            "a=b=c\nk=it's \"so\"\n"
        );
    }
}
