//! Properties of every list, whatever its keys, its pages, and the changes meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use warp::http::{HeaderMap, Method};

use super::*;
use crate::http::options::ApiOptions;
use crate::http::ports::Answer;

/// A list without an end, with the number of items that were requested.
#[derive(Clone, Default)]
struct Endless(Arc<Mutex<usize>>);

impl Source for Endless {
    fn batch(&self, ask: Ask) -> Answer<'_, Result<Batch, ApiError>> {
        *self.0.lock().expect("not poisoned") += ask.most;
        let from: usize = ask.from.map_or(0, |from| from.parse().expect("a key"));
        let items = (from..from + ask.most).map(|n| (format!("{n:020}"), Item::from(json!({"key": n}))));
        let batch = Batch { items: items.collect(), next: Some(format!("{:020}", from + ask.most)) };
        Box::pin(std::future::ready(Ok(batch)))
    }

    fn columns(&self) -> Vec<String> {
        vec!["key".to_owned()]
    }
}

/// A source whose items come and go between batches.
#[derive(Clone, Default)]
struct Changing(Arc<Mutex<BTreeMap<String, Value>>>);

impl Changing {
    fn of(keys: &BTreeSet<u16>) -> Self {
        let changing = Self::default();
        for key in keys {
            changing.put(*key);
        }
        changing
    }

    fn put(&self, key: u16) {
        let mut items = self.0.lock().expect("not poisoned");
        items.insert(name(key), json!({"key": name(key), "even": key.is_multiple_of(2)}));
    }

    fn remove(&self, key: u16) {
        self.0.lock().expect("not poisoned").remove(&name(key));
    }
}

impl Source for Changing {
    fn batch(&self, ask: Ask) -> Answer<'_, Result<Batch, ApiError>> {
        let items = self.0.lock().expect("not poisoned");
        let from =
            |key: &String| ask.from.as_ref().is_none_or(|from| (key >= from) == ask.ascending || key == from);
        let mut rows: Vec<_> = items.iter().filter(|(key, _)| from(key)).collect();
        if !ask.ascending {
            rows.reverse();
        }
        let next = rows.get(ask.most).map(|(key, _)| (*key).clone());
        let items = rows.into_iter().take(ask.most).map(|(key, row)| (key.clone(), row.clone().into()));
        let batch = Batch { items: items.collect(), next };
        Box::pin(std::future::ready(Ok(batch)))
    }

    fn columns(&self) -> Vec<String> {
        vec!["key".to_owned()]
    }
}

fn name(key: u16) -> String {
    format!("{key:05}")
}

fn walk(source: impl Source + 'static, query: &str) -> Walk {
    let request = Request::new(Method::GET, "/", query, HeaderMap::new());
    let paging = Paging::of(&request, &ApiOptions::default(), Form::Page).expect("paging");
    Walk::new(Box::new(source), Filters::of(&request).expect("filters"), &paging, Arc::new(Semaphore::new(1)))
}

fn keys(rows: &[Value]) -> impl Iterator<Item = String> {
    rows.iter().map(|row| row["key"].as_str().expect("a key").to_owned())
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

/// One page: its keys and the key of the next page.
async fn page(source: Changing, query: &str) -> (Vec<String>, Option<String>) {
    let mut walk = walk(source, query);
    let mut seen = Vec::new();
    while let Some(rows) = walk.next().await.expect("rows") {
        seen.extend(keys(&rows));
    }
    (seen, walk.page().next_start_key)
}

/// Adds an item, or removes it.
fn change(source: &Changing, added: bool, key: u16) {
    if added { source.put(key) } else { source.remove(key) }
}

/// Checks that no key comes twice, keys are in order, and no item that was always there is missing.
fn check(
    seen: &[String],
    before: &BTreeSet<u16>,
    changes: &[(bool, u16)],
    query: &str,
) -> Result<(), TestCaseError> {
    let ascending = query.contains("ascending=true");
    let only_even = query.contains("filter_even=true");
    prop_assert!(seen.is_sorted_by(|a, b| if ascending { a < b } else { a > b }), "{seen:?}");
    let touched: BTreeSet<u16> = changes.iter().map(|(_, key)| *key).collect();
    for key in before.difference(&touched) {
        let expected = !only_even || key.is_multiple_of(2);
        prop_assert_eq!(seen.contains(&name(*key)), expected, "{} in {:?}", key, seen);
    }
    Ok(())
}

fn query() -> impl Strategy<Value = String> {
    let parts = (1_usize..9, 1_usize..9, any::<bool>(), any::<bool>());
    parts.prop_map(|(size, chunk, ascending, even)| {
        let even = if even { "&filter_even=true" } else { "" };
        format!("page_size={size}&chunk_size={chunk}&ascending={ascending}{even}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn pages_miss_and_repeat_nothing_while_items_come_and_go(
        before in btree_set(0_u16..60, 0..40),
        changes in vec((any::<bool>(), 0_u16..60), 0..40),
        query in query(),
    ) {
        let source = Changing::of(&before);
        let mut seen = Vec::new();
        let mut asked = query.clone();
        let mut left = changes.iter();
        wait(async {
            loop {
                let (rows, next) = page(source.clone(), &asked).await;
                seen.extend(rows);
                let Some(next) = next else { break };
                asked = format!("{query}&start_key={next}");
                for (added, key) in left.by_ref().take(2) { change(&source, *added, *key); }
            }
        });
        check(&seen, &before, &changes, &query)?;
    }

    #[test]
    fn a_streamed_list_misses_and_repeats_nothing_while_items_come_and_go(
        before in btree_set(0_u16..60, 0..40),
        changes in vec((any::<bool>(), 0_u16..60), 0..40),
        query in query(),
    ) {
        let source = Changing::of(&before);
        let query = format!("{query}&paginate=false");
        let mut walk = walk(source.clone(), &query);
        let mut left = changes.iter();
        let mut seen = Vec::new();
        wait(async {
            while let Some(rows) = walk.next().await.expect("rows") {
                seen.extend(keys(&rows));
                for (added, key) in left.by_ref().take(2) { change(&source, *added, *key); }
            }
        });
        check(&seen, &before, &changes, &query)?;
    }

    #[test]
    fn items_in_memory_are_listed_like_those_of_any_source(
        items in btree_set(0_u16..60, 0..40),
        from in proptest::option::of(0_u16..60),
        ascending in any::<bool>(),
        most in 1_usize..9,
    ) {
        let rows = items.iter().rev().map(|key| (name(*key), *key)).collect();
        let at_hand = Rows::new(rows, |key: &u16| json!({"key": name(*key), "even": key.is_multiple_of(2)}).into());
        let ask = Ask { from: from.map(name), ascending, most };
        let (a, b) = wait(async {
            (at_hand.batch(ask.clone()).await.expect("rows"), Changing::of(&items).batch(ask).await.expect("rows"))
        });
        prop_assert_eq!((a.items, a.next), (b.items, b.next));
    }

    #[test]
    fn any_query_string_is_answered_or_refused(text in "[ -~]{0,80}", name in "(filter_|has_|created_)?[a-z_.]{0,12}") {
        let query = format!("{name}={text}&{text}");
        let request = Request::new(Method::GET, "/", &query, HeaderMap::new());
        let item = Item::from(json!({"a": {"b": [1, "x"]}, "pvt_created": "then"}));
        let _shown = Filters::of(&request).map(|filters| filters.match_item(&item));
        let _paging = Paging::of(&request, &ApiOptions::default(), Form::Page);
    }
}

#[test]
fn a_streamed_list_reads_no_further_than_the_client_does() {
    let source = Endless::default();
    let mut walk = walk(source.clone(), "paginate=false&chunk_size=7&ascending=true");
    for taken in 1..=100 {
        let rows = wait(walk.next()).expect("rows").expect("more");
        assert_eq!(rows.len(), 7);
        assert_eq!(*source.0.lock().unwrap(), taken * 7);
    }
}

#[test]
fn a_list_ends_at_its_end_key() {
    let source = Changing::of(&(0..10).collect());
    let rows = |query: &str| wait(page(source.clone(), query)).0;
    assert_eq!(rows("start_key=00005&end_key=00003"), ["00005", "00004", "00003"]);
    assert_eq!(rows("ascending=true&start_key=00008&end_key=00008"), ["00008"]);
    assert_eq!(rows("end_key=0"), rows(""));
}
