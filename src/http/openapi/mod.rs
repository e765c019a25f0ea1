//! `/openapi.json`: the description of the API for machines (OpenAPI 3.1), assembled from a description per resource.
//!
//! `base.json` has the shared parts; each file of `paths/` describes one resource in a short form, which [`operation`]
//! expands. Unit tests compare it with the table of routes, and `tests/it/openapi.rs` executes its examples.

mod operation;

#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value};

use self::operation::Operation;

/// The shared parts: parameters, refusals, the envelope.
const BASE: &str = include_str!("base.json");

/// The introduction.
const ABOUT: &str = include_str!("about.md");

/// The resources, in the order of the document.
const RESOURCES: &[&str] = &[
    include_str!("paths/log_in.json"),
    include_str!("paths/accounts.json"),
    include_str!("paths/api_keys.json"),
    include_str!("paths/users.json"),
    include_str!("paths/hooks.json"),
    include_str!("paths/offers.json"),
    include_str!("paths/attempts.json"),
    include_str!("paths/queue.json"),
    include_str!("paths/replays.json"),
    include_str!("paths/steering.json"),
    include_str!("paths/events.json"),
    include_str!("paths/channels.json"),
    include_str!("paths/websockets.json"),
    include_str!("paths/operator.json"),
    include_str!("paths/pages.json"),
];

/// Built once. The unit tests build it too, so the embedded files are valid.
static TEXT: LazyLock<String> =
    LazyLock::new(|| document().map(|document| document.to_string()).unwrap_or_default());

/// The document as it is sent.
pub(super) fn text() -> &'static str {
    &TEXT
}

/// The content of a file of `paths/`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resource {
    /// The name and description.
    tag: Map<String, Value>,
    /// Schemas by name, in addition to the shared ones.
    #[serde(default)]
    schemas: Map<String, Value>,
    /// Operations by path and method, each an [`Operation`].
    #[serde(default)]
    paths: Map<String, Value>,
}

/// Assembles the document.
fn document() -> Result<Value, serde_json::Error> {
    let mut document: Value = serde_json::from_str(BASE)?;
    let (mut tags, mut schemas, mut paths) = (Vec::<Value>::new(), Map::new(), Map::new());
    for text in RESOURCES {
        let resource: Resource = serde_json::from_str(text)?;
        let tag = resource.tag.get("name").and_then(Value::as_str).unwrap_or_default();
        for (path, methods) in resource.paths {
            let methods: Map<String, Value> = serde_json::from_value(methods)?;
            let mut item = operation::parameters_of(&path);
            for (method, operation) in methods {
                let operation: Operation = serde_json::from_value(operation)?;
                item.insert(method, operation.write_out(tag, &path));
            }
            paths.insert(path, item.into());
        }
        schemas.extend(resource.schemas);
        tags.push(resource.tag.into());
    }
    if let Some(shared) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) {
        shared.extend(schemas);
    }
    if let Some(document) = document.as_object_mut() {
        document.insert("tags".into(), tags.into());
        document.insert("paths".into(), paths.into());
    }
    if let Some(info) = document.get_mut("info").and_then(Value::as_object_mut) {
        info.insert("version".into(), env!("CARGO_PKG_VERSION").into());
        info.insert("description".into(), ABOUT.into());
    }
    Ok(document)
}
