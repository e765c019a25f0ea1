//! Compares the document with the program: every route is described, and nothing else is.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::route::Whose;
use super::super::{admin_paths, pages, route};
use super::document;

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

/// The described operations, without names in paths: `GET /v2/accounts/{}`.
fn described() -> BTreeSet<String> {
    let document = document().unwrap();
    let paths = document["paths"].as_object().unwrap();
    let of = |(path, item): (&String, &Value)| {
        let item = item.as_object().unwrap().clone();
        let methods = item.into_iter().map(|(method, _)| method).filter(|method| method != "parameters");
        let path = unnamed(path);
        methods.map(|method| format!("{} {path}", method.to_ascii_uppercase())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

/// The operations that the program answers, in the same form.
fn answered() -> BTreeSet<String> {
    let of_api = route::patterns().flat_map(|(whose, pattern)| {
        let below =
            if whose == Whose::Accounts { format!("accounts/{{A}}/{pattern}") } else { pattern.to_owned() };
        let segments: Vec<_> = below.split('/').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        let path = unnamed(&format!("/v2/{}", segments.join("/")));
        let methods = route::route(&segments).unwrap().resource.methods();
        methods.iter().map(move |method| format!("{method} {path}"))
    });
    let of_operator = admin_paths::ROUTES
        .iter()
        .flat_map(|(name, what)| what.methods().iter().map(move |method| format!("{method} /admin/{name}")));
    let pages = pages::paths().filter(|path| !path.starts_with("/docs/")).map(|path| format!("GET {path}"));
    of_api.chain(of_operator).chain(pages).collect()
}

/// A path without the names in its braces.
fn unnamed(path: &str) -> String {
    let words = path.split('/').map(|word| if word.starts_with('{') { "{}" } else { word });
    words.collect::<Vec<_>>().join("/")
}

#[test]
fn every_route_has_an_operation() {
    let missing: Vec<_> = answered().difference(&described()).cloned().collect();
    assert!(missing.is_empty(), "describe in src/http/openapi/paths: {}", missing.join(", "));
}

#[test]
fn every_operation_has_a_route() {
    let extra: Vec<_> = described().difference(&answered()).cloned().collect();
    assert!(extra.is_empty(), "there is no such route: {}", extra.join(", "));
}

#[test]
fn operations_have_unique_names_and_described_tags() {
    let document = document().unwrap();
    let tags: BTreeSet<_> =
        document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].clone().to_string()).collect();
    let mut names = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS.iter().filter_map(|method| item.get(*method)) {
            let name = method["operationId"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "{name} is used twice");
            assert!(tags.contains(&method["tags"][0].to_string()), "{path}");
        }
    }
}

/// Collects every `$ref` in a value.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn every_reference_exists_and_every_shared_schema_is_used() {
    let document = document().unwrap();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in &found {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
    }
    for kind in ["parameters", "responses", "schemas"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            assert!(found.contains(&format!("#/components/{kind}/{name}")), "{kind}/{name} is unused");
        }
    }
}
