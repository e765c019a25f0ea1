//! The report over all accounts: counts, the fields that differ, and a few examples of each class (pure).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use super::compare::Comparison;
use super::seen::ListedDelivery;
use crate::model::{iso8601, masked};

/// The most examples of each class of difference.
const EXAMPLES: usize = 5;
/// The most characters of a value that are shown.
const SHOWN: usize = 80;
/// The most hooks with differences that are named.
const HOOKS: usize = 50;

/// The report.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Report {
    /// The first and last time of the compared range.
    pub(super) from: String,
    pub(super) to: String,
    /// The deliveries in each list, in and around the range.
    pub(super) here: usize,
    pub(super) there: usize,
    /// Pairs with equal bodies.
    pub(super) same: usize,
    /// Pairs in which KAZOO's list has no body (GET).
    pub(super) same_without_body: usize,
    /// Pairs with different bodies.
    pub(super) different_body: usize,
    /// Deliveries that only this program lists.
    pub(super) missing_there: usize,
    /// Deliveries that only KAZOO lists.
    pub(super) missing_here: usize,
    /// KAZOO's deliveries for hooks that do not exist here.
    pub(super) of_unknown_hooks: usize,
    /// Whether KAZOO lists successful attempts. If not, deliveries missing there mean nothing.
    pub(super) successes_listed: bool,
    /// The fields that differ, by name.
    pub(super) fields: BTreeMap<String, FieldDifference>,
    /// The number of differences per hook.
    pub(super) hooks: BTreeMap<String, usize>,
    /// A few of each class.
    pub(super) examples: Examples,
}

/// How often a field differs, with one pair of values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct FieldDifference {
    pub(super) count: usize,
    /// The value here; `None` if only KAZOO has the field.
    pub(super) here: Option<String>,
    /// The value at KAZOO; `None` if only this program has the field.
    pub(super) there: Option<String>,
}

/// A few deliveries of each class.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Examples {
    pub(super) different_body: Vec<Example>,
    pub(super) missing_there: Vec<Example>,
    pub(super) missing_here: Vec<Example>,
}

/// One delivery, with what a person needs to find it in both lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Example {
    pub(super) hook_id: String,
    pub(super) event: String,
    pub(super) subject: Option<String>,
    pub(super) at: String,
    /// The `event_id` in our list.
    pub(super) here: Option<String>,
    /// The `event_id` in KAZOO's list.
    pub(super) there: Option<String>,
    pub(super) fields: Vec<String>,
}

impl Example {
    fn of(seen: &ListedDelivery) -> Self {
        Self {
            hook_id: seen.hook.clone(),
            event: seen.name.clone(),
            subject: seen.subject.clone(),
            at: iso8601(seen.time_s.saturating_mul(1_000_000)),
            here: None,
            there: None,
            fields: Vec::new(),
        }
    }
}

impl Report {
    /// Adds the result of one account.
    pub(super) fn add(&mut self, found: Comparison) {
        self.same += found.same;
        self.same_without_body += found.unknown_body.len();
        self.different_body += found.different.len();
        self.missing_there += found.missing_there.len();
        self.missing_here += found.missing_here.len();
        for (here, there, fields) in found.different {
            self.count(&here.hook);
            for field in &fields {
                let shown = |seen: &ListedDelivery| {
                    let value = seen.body.as_ref()?.get(field)?;
                    Some(cut(&masked(field, value)))
                };
                let difference = self.fields.entry(field.clone()).or_default();
                if difference.count == 0 {
                    (difference.here, difference.there) = (shown(&here), shown(&there));
                }
                difference.count += 1;
            }
            let (here_id, there_id) = (Some(here.id.clone()), Some(there.id));
            let example = Example { here: here_id, there: there_id, fields, ..Example::of(&here) };
            put(&mut self.examples.different_body, example);
        }
        for seen in found.missing_there {
            self.count(&seen.hook);
            let example = Example { here: Some(seen.id.clone()), ..Example::of(&seen) };
            put(&mut self.examples.missing_there, example);
        }
        for seen in found.missing_here {
            self.count(&seen.hook);
            let example = Example { there: Some(seen.id.clone()), ..Example::of(&seen) };
            put(&mut self.examples.missing_here, example);
        }
    }

    fn count(&mut self, hook: &str) {
        *self.hooks.entry(hook.to_owned()).or_default() += 1;
    }

    /// Whether there was nothing to compare, so that the absence of differences means nothing.
    pub(super) fn is_empty(&self) -> bool {
        let judged = if self.successes_listed { self.missing_there } else { 0 };
        self.same + self.same_without_body + self.different_body + self.missing_here + judged == 0
    }

    /// Whether the two systems deliver differently.
    pub(super) fn differs(&self) -> bool {
        self.different_body + self.missing_here > 0 || (self.successes_listed && self.missing_there > 0)
    }

    /// The report as text.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _written = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "From {} to {}: {} deliveries here, {} at KAZOO.\n",
            self.from, self.to, self.here, self.there
        )?;
        let rows = [
            ("same", self.same),
            ("same, without a body to compare", self.same_without_body),
            ("different body", self.different_body),
            ("missing at KAZOO", self.missing_there),
            ("missing here", self.missing_here),
            ("at KAZOO, of hooks unknown here", self.of_unknown_hooks),
        ];
        for (name, count) in rows {
            writeln!(out, "{name:<36}{count:>8}")?;
        }
        if !self.successes_listed {
            writeln!(
                out,
                "\nKAZOO lists only failed attempts, so deliveries missing there mean nothing. Set `log_successful_attempts` \
                 to true in its system_config document `webhooks` during the shadow run."
            )?;
        }
        if !self.fields.is_empty() {
            writeln!(out, "\nFields that differ (--ignore FIELD leaves one out):")?;
        }
        for (name, field) in &self.fields {
            let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".to_owned());
            let (here, there) = (shown(&field.here), shown(&field.there));
            writeln!(out, "  {name}: {} times; here {here}, there {there}", field.count)?;
        }
        let classes = [
            ("different body", &self.examples.different_body),
            ("missing at KAZOO", &self.examples.missing_there),
            ("missing here", &self.examples.missing_here),
        ];
        for (name, examples) in classes.into_iter().filter(|(_, examples)| !examples.is_empty()) {
            writeln!(out, "\nExamples, {name}:")?;
            for example in examples {
                let subject = example.subject.as_deref().unwrap_or("-");
                write!(out, "  {} hook {} {} {subject}", example.at, example.hook_id, example.event)?;
                for (place, id) in [("here", &example.here), ("there", &example.there)] {
                    if let Some(id) = id {
                        write!(out, " {place}={id}")?;
                    }
                }
                writeln!(out, " {}", example.fields.join(","))?;
            }
        }
        if !self.hooks.is_empty() {
            let mut hooks: Vec<_> = self.hooks.iter().collect();
            hooks.sort_by_key(|(hook, count)| (std::cmp::Reverse(**count), *hook));
            writeln!(out, "\nHooks with differences: {}", hooks.len())?;
            for (hook, count) in hooks.into_iter().take(HOOKS) {
                writeln!(out, "  {hook} {count}")?;
            }
        }
        Ok(())
    }
}

fn put(examples: &mut Vec<Example>, example: Example) {
    if examples.len() < EXAMPLES {
        examples.push(example);
    }
}

/// The beginning of a value. Its JSON form escapes control characters.
fn cut(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(subject: &str, body: &Value) -> ListedDelivery {
        ListedDelivery {
            hook: "h".into(),
            name: "channel_create".into(),
            asked: "channel_create".into(),
            subject: Some(subject.into()),
            time_s: 1_709_164_800,
            body: body.as_object().map(|fields| fields.clone().into_iter().collect()),
            id: format!("id-{subject}"),
            succeeded: true,
        }
    }

    #[test]
    fn examples_name_both_ids_and_show_no_secret() {
        let mut report = Report { successes_listed: true, ..Report::default() };
        let (here, there) = (json!({"password": "pa55", "a": "x".repeat(100)}), json!({"password": "word"}));
        let fields = vec!["a".to_owned(), "password".to_owned()];
        report.add(Comparison {
            different: vec![(seen("c", &here), seen("c", &there), fields)],
            missing_here: vec![seen("d", &there)],
            ..Comparison::default()
        });
        let text = report.text();
        assert!(
            text.contains("different body") && text.contains("here=id-c there=id-c a,password"),
            "{text}"
        );
        assert!(text.contains("2024-02-29T00:00:00Z hook h channel_create d there=id-d"), "{text}");
        assert!(!text.contains("pa55") && !text.contains("word\""), "{text}");
        assert!(text.contains("there (none)") && !text.contains(&"x".repeat(90)), "{text}");
        assert!(report.differs() && report.hooks["h"] == 2);
    }

    #[test]
    fn deliveries_missing_in_kazoos_list_of_failures_are_no_difference() {
        let mut report = Report::default();
        report.add(Comparison { missing_there: vec![seen("c", &json!({}))], ..Comparison::default() });
        assert!(!report.differs() && report.is_empty());
        assert!(report.text().contains("log_successful_attempts"));
        report.successes_listed = true;
        assert!(report.differs() && !report.is_empty());
    }
}
