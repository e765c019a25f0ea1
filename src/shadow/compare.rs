//! Matches the deliveries of the two systems (pure).
//!
//! The systems share no ids. Deliveries match when hook, event name and subject are equal and their times are close. If
//! several match, equal bodies come first, then the nearest times.

use std::collections::{BTreeMap, BTreeSet};

use super::seen::{Body, ListedDelivery};

/// How deliveries are matched and compared.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    /// The largest difference between the two times of a delivery, in seconds.
    pub(super) tolerance_s: u64,
    /// Fields of bodies that are not compared.
    pub(super) ignored: BTreeSet<String>,
    /// The first and last second of the report, since 1970. Deliveries outside are only used as counterparts.
    pub(super) range: (u64, u64),
}

/// The result of comparing two lists.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Comparison {
    /// Pairs with equal bodies.
    pub(super) same: usize,
    /// Pairs in which one list has no body.
    pub(super) unknown_body: Vec<(ListedDelivery, ListedDelivery)>,
    /// Pairs with different bodies: ours, KAZOO's, and the fields that differ.
    pub(super) different: Vec<(ListedDelivery, ListedDelivery, Vec<String>)>,
    /// Deliveries that only our list has.
    pub(super) missing_there: Vec<ListedDelivery>,
    /// Deliveries that only KAZOO's list has.
    pub(super) missing_here: Vec<ListedDelivery>,
}

/// The key by which deliveries can match.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    hook: String,
    name: String,
    subject: Option<String>,
}

/// Compares our attempts with KAZOO's.
pub(super) fn compare(here: Vec<ListedDelivery>, there: Vec<ListedDelivery>, rules: &Rules) -> Comparison {
    let mut groups: BTreeMap<Group, (Vec<ListedDelivery>, Vec<ListedDelivery>)> = BTreeMap::new();
    // KAZOO stores no body of a GET. For a hook with GET, only the hook's event is known on both sides.
    let bodiless: BTreeSet<String> =
        there.iter().filter(|seen| seen.body.is_none()).map(|seen| seen.hook.clone()).collect();
    let key = |seen: &ListedDelivery| {
        if bodiless.contains(&seen.hook) {
            Group { hook: seen.hook.clone(), name: seen.asked.clone(), subject: None }
        } else {
            Group { hook: seen.hook.clone(), name: seen.name.clone(), subject: seen.subject.clone() }
        }
    };
    for seen in here {
        groups.entry(key(&seen)).or_default().0.push(seen);
    }
    for seen in there {
        groups.entry(key(&seen)).or_default().1.push(seen);
    }
    let mut found = Comparison::default();
    for (here, there) in groups.into_values() {
        compare_group(here, there, rules, &mut found);
    }
    found
}

fn compare_group(
    mut here: Vec<ListedDelivery>,
    mut there: Vec<ListedDelivery>,
    rules: &Rules,
    found: &mut Comparison,
) {
    here.sort_by_key(|seen| seen.time_s);
    there.sort_by_key(|seen| seen.time_s);
    let mut taken = vec![false; there.len()];
    let mut pairs: Vec<Option<usize>> = vec![None; here.len()];
    // Equal bodies are paired first. Otherwise two deliveries of one subject within the tolerance could be paired crosswise
    // and reported as two differences.
    for equal_only in [true, false] {
        for (seen, pair) in here.iter().zip(&mut pairs).filter(|(_, pair)| pair.is_none()) {
            let nearest = candidates(seen, &there, rules.tolerance_s)
                .filter(|(at, other)| {
                    taken.get(*at) == Some(&false) && (!equal_only || is_equal(seen, other, rules))
                })
                .min_by_key(|(_, other)| seen.time_s.abs_diff(other.time_s));
            if let Some((at, _)) = nearest {
                *pair = Some(at);
                if let Some(taken) = taken.get_mut(at) {
                    *taken = true;
                }
            }
        }
    }
    let is_reported = |seen: &ListedDelivery| (rules.range.0..=rules.range.1).contains(&seen.time_s);
    let mut there: Vec<Option<ListedDelivery>> = there.into_iter().map(Some).collect();
    for (seen, pair) in here.into_iter().zip(pairs) {
        let other = pair.and_then(|at| there.get_mut(at)?.take());
        match other.filter(|_| is_reported(&seen)) {
            Some(other) => found.pair(seen, other, rules),
            None if pair.is_none() && is_reported(&seen) => found.missing_there.push(seen),
            None => {}
        }
    }
    found.missing_here.extend(there.into_iter().flatten().filter(is_reported));
}

/// The deliveries of an ordered list that are close in time, with their indices.
fn candidates<'a>(
    seen: &ListedDelivery,
    there: &'a [ListedDelivery],
    tolerance_s: u64,
) -> impl Iterator<Item = (usize, &'a ListedDelivery)> {
    let (from, until) = (seen.time_s.saturating_sub(tolerance_s), seen.time_s.saturating_add(tolerance_s));
    let first = there.partition_point(|other| other.time_s < from);
    there.iter().enumerate().skip(first).take_while(move |(_, other)| other.time_s <= until)
}

fn is_equal(here: &ListedDelivery, there: &ListedDelivery, rules: &Rules) -> bool {
    match (&here.body, &there.body) {
        (Some(here), Some(there)) => differing(here, there, rules).is_empty(),
        _ => false,
    }
}

/// The names of the compared fields that differ.
fn differing(here: &Body, there: &Body, rules: &Rules) -> Vec<String> {
    let names: BTreeSet<&String> = here.keys().chain(there.keys()).collect();
    let differ = names.into_iter().filter(|name| !rules.ignored.contains(*name));
    differ.filter(|name| here.get(*name) != there.get(*name)).cloned().collect()
}

impl Comparison {
    fn pair(&mut self, here: ListedDelivery, there: ListedDelivery, rules: &Rules) {
        let fields = match (&here.body, &there.body) {
            (Some(here), Some(there)) => differing(here, there, rules),
            _ => return self.unknown_body.push((here, there)),
        };
        if fields.is_empty() {
            self.same += 1;
        } else {
            self.different.push((here, there, fields));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(subject: &str, time_s: u64, body: &serde_json::Value) -> ListedDelivery {
        ListedDelivery {
            hook: "h".into(),
            name: "channel_create".into(),
            asked: "channel_create".into(),
            subject: (!subject.is_empty()).then(|| subject.into()),
            time_s,
            body: body.as_object().map(|fields| fields.clone().into_iter().collect()),
            id: format!("{subject}{time_s}"),
            succeeded: true,
        }
    }

    fn rules() -> Rules {
        Rules { tolerance_s: 10, ignored: BTreeSet::from(["cluster_id".into()]), range: (100, 200) }
    }

    #[test]
    fn every_class_of_difference_is_found() {
        let one = json!({"a": 1, "cluster_id": "x"});
        let here = vec![seen("same", 100, &one), seen("other", 101, &one), seen("only-here", 102, &one)];
        let there = vec![
            seen("same", 104, &json!({"a": 1, "cluster_id": "y"})),
            seen("other", 101, &json!({"a": 2, "b": 3})),
            seen("only-there", 110, &one),
        ];
        let found = compare(here, there, &rules());
        assert_eq!(found.same, 1);
        assert_eq!(found.different[0].2, ["a", "b"]);
        assert_eq!(found.missing_there[0].subject.as_deref(), Some("only-here"));
        assert_eq!(found.missing_here[0].subject.as_deref(), Some("only-there"));
        assert_eq!((found.different.len(), found.missing_there.len(), found.missing_here.len()), (1, 1, 1));
    }

    #[test]
    fn a_delivery_has_at_most_one_counterpart() {
        let one = json!({"a": 1});
        let here = vec![seen("c", 100, &one), seen("c", 101, &one)];
        let found = compare(here, vec![seen("c", 101, &one)], &rules());
        assert_eq!((found.same, found.missing_there.len()), (1, 1));
    }

    #[test]
    fn equal_bodies_match_before_near_times() {
        let (one, two) = (json!({"n": 1}), json!({"n": 2}));
        let here = vec![seen("", 100, &one), seen("", 101, &two)];
        let there = vec![seen("", 101, &one), seen("", 100, &two)];
        assert_eq!(compare(here, there, &rules()).same, 2);
    }

    #[test]
    fn a_hook_whose_requests_have_no_stored_body_is_compared_by_time_alone() {
        let one = json!({"a": 1});
        let there = vec![seen("", 100, &serde_json::Value::Null), seen("", 150, &serde_json::Value::Null)];
        let found = compare(vec![seen("c", 103, &one)], there, &rules());
        assert_eq!((found.unknown_body.len(), found.missing_here.len()), (1, 1));
    }

    #[test]
    fn deliveries_outside_the_range_are_only_counterparts() {
        let one = json!({"a": 1});
        let here = vec![seen("edge", 199, &one), seen("late", 205, &one)];
        let there = vec![seen("edge", 203, &one), seen("early", 95, &one)];
        let found = compare(here, there, &rules());
        assert_eq!(found, Comparison { same: 1, ..Comparison::default() });
    }

    #[test]
    fn deliveries_too_far_apart_do_not_match() {
        let one = json!({"a": 1});
        let found = compare(vec![seen("c", 110, &one)], vec![seen("c", 121, &one)], &rules());
        assert_eq!((found.same, found.missing_there.len(), found.missing_here.len()), (0, 1, 1));
    }
}
