//! Compares the document with the program: every route is described, and nothing else is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::super::route::Whose;
use super::super::{admin_paths, pages, route};
use super::{RESOURCES, Resource, document};

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

#[test]
fn no_two_resources_describe_a_schema_with_the_same_name() {
    let mut names = BTreeMap::new();
    for text in RESOURCES {
        let resource: Resource = serde_json::from_str(text).unwrap();
        for name in resource.schemas.keys() {
            let other = names.insert(name.clone(), resource.tag["name"].clone());
            assert!(other.is_none(), "{name} of {:?} would replace that of {other:?}", resource.tag["name"]);
        }
    }
}

/// Collects the fields without a description, with the path of the schema. `described` has the names that an enclosing
/// schema describes: a condition such as `anyOf` may name them again.
fn undescribed(at: &str, value: &Value, described: &Map<String, Value>, found: &mut Vec<String>) {
    let Value::Object(schema) = value else {
        return value.as_array().into_iter().flatten().for_each(|v| undescribed(at, v, described, found));
    };
    let own = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, field) in &own {
        // What has only one possible value describes itself.
        let is_plain = ["const", "description", "$ref"].iter().any(|key| field.get(key).is_some())
            || ["maxItems", "maxProperties"].iter().any(|key| field.get(key).is_some_and(|most| *most == 0));
        // The summary of its operation describes `data` in the envelope.
        let is_data = name == "data" && at.ends_with("/schema");
        if !is_plain && !is_data && !described.contains_key(name) {
            found.push(format!("{at}.{name}"));
        }
        undescribed(&format!("{at}.{name}"), field, &Map::new(), found);
    }
    for (key, below) in
        schema.iter().filter(|(key, _)| !["properties", "example", "examples"].contains(&key.as_str()))
    {
        let conditions = ["anyOf", "oneOf", "allOf"];
        let described = if conditions.contains(&key.as_str()) { own.clone() } else { Map::new() };
        undescribed(&format!("{at}/{key}"), below, &described, found);
    }
}

#[test]
fn every_parameter_and_every_field_has_a_description() {
    let document = document().unwrap();
    let mut found = Vec::new();
    undescribed("", &document["components"]["schemas"], &Map::new(), &mut found);
    undescribed("", &document["paths"], &Map::new(), &mut found);
    let shared = document["components"]["parameters"].as_object().unwrap().values();
    let methods =
        document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    let own = methods.filter_map(|method| method.get("parameters")?.as_array()).flatten();
    for parameter in shared.chain(own) {
        if parameter.get("$ref").is_none() && parameter.get("description").is_none() {
            found.push(parameter["name"].to_string());
        }
    }
    assert!(found.is_empty(), "without a description: {}", found.join(", "));
}
