//! An operation in short form, and its expansion (pure): the envelope around request and response, the parameters of
//! the path and of lists, and the refusals that follow from the kind of operation.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The query parameters of every list.
const OF_LISTS: [&str; 7] =
    ["page_size", "start_key", "end_key", "ascending", "paginate", "max_examined", "is_chunked"];

/// An operation in `paths/*.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Operation {
    /// `operationId`
    id: String,
    summary: String,
    description: Option<String>,
    /// Whether no token is needed.
    #[serde(default)]
    public: bool,
    /// Query parameters, in addition to those of lists.
    #[serde(default)]
    query: Vec<Value>,
    /// The schema of `data` in the request. A text names a shared one.
    takes: Option<Value>,
    /// Whether the body of the request is optional.
    #[serde(default)]
    body_is_optional: bool,
    /// An example of `data` in the request, which the tests send.
    example: Option<Value>,
    /// The schema of a row, for a list.
    lists: Option<Value>,
    /// Schemas of `data` in the response, by status. The example is answered with the first one.
    #[serde(default)]
    gives: Map<String, Value>,
    /// Statuses of further refusals.
    #[serde(default)]
    refuses: Vec<u16>,
    /// Responses without an envelope, by status, in the form of OpenAPI.
    #[serde(default)]
    bare: Map<String, Value>,
}

/// The parameters in the braces of a path.
pub(super) fn parameters_of(path: &str) -> Map<String, Value> {
    let named = |word: &str| Some(word.strip_prefix('{')?.strip_suffix('}')?.to_owned());
    let parameters: Vec<Value> =
        path.split('/').filter_map(named).map(|name| refer("parameters", &name)).collect();
    let mut item = Map::new();
    if !parameters.is_empty() {
        item.insert("parameters".into(), parameters.into());
    }
    item
}

impl Operation {
    /// The operation in the form of OpenAPI.
    pub(super) fn write_out(self, tag: &str, path: &str) -> Value {
        let mut out = Map::new();
        out.insert("operationId".into(), self.id.clone().into());
        out.insert("tags".into(), json!([tag]));
        out.insert("summary".into(), self.summary.clone().into());
        if let Some(description) = &self.description {
            out.insert("description".into(), description.clone().into());
        }
        if self.public {
            out.insert("security".into(), json!([]));
        }
        let query = self.query.iter().cloned();
        let of_lists = OF_LISTS.iter().filter(|_| self.lists.is_some()).map(|name| refer("parameters", name));
        let parameters: Vec<Value> = query.chain(of_lists).collect();
        if !parameters.is_empty() {
            out.insert("parameters".into(), parameters.into());
        }
        if let Some(takes) = &self.takes {
            out.insert("requestBody".into(), self.request(takes));
        }
        out.insert("responses".into(), self.responses(path).into());
        out.into()
    }

    fn request(&self, takes: &Value) -> Value {
        let schema = json!({"type": "object", "required": ["data"], "properties": {"data": schema(takes)}});
        let mut media = Map::new();
        media.insert("schema".into(), schema);
        if let Some(example) = &self.example {
            media.insert("example".into(), json!({"data": example}));
        }
        json!({"required": !self.body_is_optional, "content": {"application/json": media}})
    }

    fn responses(&self, path: &str) -> Map<String, Value> {
        if !self.bare.is_empty() {
            return self.bare.clone();
        }
        let mut out = Map::new();
        if let Some(row) = &self.lists {
            let rows = json!({"type": "array", "items": schema(row)});
            let mut answer = answer("A page of rows", &rows);
            if let Some(content) = answer.get_mut("content").and_then(Value::as_object_mut) {
                content.insert("text/csv".into(), json!({"schema": {"type": "string"}}));
            }
            out.insert("200".into(), answer);
        }
        for (status, data) in &self.gives {
            let says = if status == "201" { "Made" } else { "Done" };
            out.insert(status.clone(), answer(says, &schema(data)));
        }
        let mut refusals = self.refuses.clone();
        refusals.extend([401, 406, 429, 503]);
        let is_list = self.lists.is_some();
        let has_body = self.takes.is_some();
        for (applies, statuses) in [
            (!self.public, &[403][..]),
            (path.contains('{') || is_list, &[404]),
            (is_list, &[400, 416]),
            (has_body, &[400, 408, 413, 415]),
        ] {
            refusals.extend(statuses.iter().filter(|_| applies));
        }
        refusals.sort_unstable();
        refusals.dedup();
        out.extend(
            refusals.iter().map(|status| (status.to_string(), refer("responses", &status.to_string()))),
        );
        out
    }
}

/// A schema, or a reference to a shared one.
fn schema(given: &Value) -> Value {
    given.as_str().map_or_else(|| given.clone(), |name| refer("schemas", name))
}

fn refer(kind: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}

/// A response in the envelope.
fn answer(description: &str, data: &Value) -> Value {
    let schema = json!({
        "allOf": [refer("schemas", "Envelope")],
        "required": ["data"], "properties": {"data": data},
        "unevaluatedProperties": false,
    });
    json!({"description": description, "content": {"application/json": {"schema": schema}}})
}
