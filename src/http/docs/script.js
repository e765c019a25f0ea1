// Shows /openapi.json. Whatever it says is put in as text, never as markup.
"use strict";

const METHODS = ["get", "put", "post", "patch", "delete"];

// An element with attributes and children; texts become text nodes.
function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

// `code`, **strong** and paragraphs: all the markup that the document uses.
function prose(text) {
  const paragraph = (words) => words.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
    if (part.startsWith("`")) return el("code", {}, part.slice(1, -1));
    if (part.startsWith("**")) return el("strong", {}, part.slice(2, -2));
    return part;
  });
  return text.trim().split(/\n\s*\n/).map((words) => el("p", {}, paragraph(words)));
}

function at(spec, reference) {
  return reference.slice(2).split("/").reduce((node, key) => node[key], spec);
}

function nameOf(reference) {
  return reference.split("/").pop();
}

// What a schema takes, in a few words.
function kind(schema) {
  if (schema === true) return "anything";
  if (schema.$ref) {
    const name = nameOf(schema.$ref);
    return el("a", {href: `#schema-${name}`}, name);
  }
  if ("const" in schema) return el("code", {}, JSON.stringify(schema.const));
  if (schema.enum) return el("span", {}, schema.enum.flatMap((v, i) => [i ? " | " : "", el("code", {}, JSON.stringify(v))]));
  if (schema.type === "array") return el("span", {}, "array of ", kind(schema.items ?? true));
  if (schema.anyOf && !schema.type) return el("span", {}, schema.anyOf.flatMap((s, i) => [i ? " or " : "", kind(s)]));
  const bounds = [["minimum", "from"], ["maximum", "to"], ["minLength", "from", "characters"], ["maxLength", "to", "characters"]];
  const said = bounds.filter(([key]) => key in schema).map(([key, word, unit]) => `${word} ${schema[key]}${unit ? ` ${unit}` : ""}`);
  const types = [schema.type ?? "object"].flat().join(" or ");
  const start = "default" in schema ? [", default ", el("code", {}, JSON.stringify(schema.default))] : [];
  return el("span", {}, [types, ...said].join(" "), start);
}

// The members of an object, those of what it builds on first.
function members(spec, schema) {
  const own = Object.entries(schema.properties ?? {});
  const inherited = (schema.allOf ?? []).flatMap((s) => members(spec, s.$ref ? at(spec, s.$ref) : s));
  const names = new Set(own.map(([name]) => name));
  return [...inherited.filter(([name]) => !names.has(name)), ...own];
}

function fields(spec, schema) {
  const resolved = schema.$ref ? at(spec, schema.$ref) : schema;
  const required = new Set([resolved, ...(resolved.allOf ?? [])].flatMap((s) => (s.$ref ? at(spec, s.$ref) : s).required ?? []));
  const rows = members(spec, resolved).map(([name, member]) => el("tr", {},
    el("td", {}, el("code", {}, name), required.has(name) ? el("div", {class: "soft"}, "required") : null),
    el("td", {}, kind(member), member.description ? prose(member.description) : null)));
  return rows.length ? el("table", {}, el("tbody", {}, rows)) : el("p", {}, kind(schema));
}

function parameters(spec, list) {
  if (!list.length) return [];
  const rows = list.map((given) => given.$ref ? at(spec, given.$ref) : given).map((p) => el("tr", {},
    el("td", {}, el("code", {}, p.name), el("div", {class: "soft"}, p.in)),
    el("td", {}, kind(p.schema), p.description ? prose(p.description) : null)));
  return [el("h4", {}, "Parameters"), el("table", {}, el("tbody", {}, rows))];
}

function curl(spec, path, method, operation, all) {
  let url = path;
  for (const p of all.map((given) => given.$ref ? at(spec, given.$ref) : given)) {
    if (p.in === "path") url = url.replace(`{${p.name}}`, p.example);
  }
  const lines = [`curl -X ${method.toUpperCase()} ${location.origin}${url}`];
  if (!(operation.security && !operation.security.length)) lines.push('-H "x-auth-token: $TOKEN"');
  const example = operation.requestBody?.content["application/json"].example;
  if (example) lines.push("-H 'content-type: application/json'", `-d '${JSON.stringify(example)}'`);
  return el("pre", {}, lines.join(" \\\n  "));
}

function answers(spec, responses) {
  const rows = Object.entries(responses).map(([status, given]) => {
    const response = given.$ref ? at(spec, given.$ref) : given;
    const data = response.content?.["application/json"]?.schema?.properties?.data;
    const shown = data ? [el("code", {}, "data"), " ", kind(data)] : prose(response.description);
    return el("tr", {}, el("td", {}, el("code", {}, status)), el("td", {}, shown));
  });
  const good = rows.filter((_, i) => Object.keys(responses)[i] < "400");
  const refusals = rows.filter((_, i) => Object.keys(responses)[i] >= "400");
  const table = (all) => el("table", {}, el("tbody", {}, all));
  return [
    el("h4", {}, "Answers"),
    good.length ? table(good) : null,
    refusals.length ? el("details", {}, el("summary", {}, "Refusals"), table(refusals)) : null,
  ];
}

function operationOf(spec, path, method, item) {
  const operation = item[method];
  const all = [...(item.parameters ?? []), ...(operation.parameters ?? [])];
  const open = operation.security && !operation.security.length;
  const body = operation.requestBody?.content["application/json"].schema.properties.data;
  return el("article", {id: operation.operationId, "data-words": `${path} ${method} ${operation.summary}`.toLowerCase()},
    el("h3", {}, operation.summary, " ", open ? el("span", {class: "tag"}, "no token") : null),
    el("p", {}, el("span", {class: `verb ${method}`}, method), el("span", {class: "path"}, path)),
    operation.description ? prose(operation.description) : null,
    parameters(spec, all),
    body ? [el("h4", {}, "data"), fields(spec, body)] : null,
    answers(spec, operation.responses),
    curl(spec, path, method, operation, all));
}

function show(spec) {
  document.getElementById("version").textContent = spec.info.version;
  document.getElementById("about").append(...prose(spec.info.description));
  const contents = document.getElementById("contents");
  const operations = document.getElementById("operations");
  operations.replaceChildren();
  const all = Object.entries(spec.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => ({path, method, item, tag: item[method].tags[0]})));
  for (const tag of spec.tags) {
    const of = all.filter((operation) => operation.tag === tag.name);
    if (!of.length) continue;
    contents.append(el("section", {}, el("h2", {}, tag.name), of.map(({path, method, item}) =>
      el("a", {href: `#${item[method].operationId}`, "data-words": `${path} ${method} ${item[method].summary}`.toLowerCase()},
        el("span", {class: `verb ${method}`}, method), item[method].summary))));
    operations.append(el("section", {}, el("h2", {}, tag.name), prose(tag.description ?? ""),
      of.map(({path, method, item}) => operationOf(spec, path, method, item))));
  }
  const schemas = Object.entries(spec.components.schemas).map(([name, schema]) => el("article", {id: `schema-${name}`},
    el("h3", {}, name), schema.description ? prose(schema.description) : null,
    fields(spec, schema), (schema.examples ?? []).map((example) => el("pre", {}, JSON.stringify(example, null, 2)))));
  document.getElementById("schemas").append(el("h2", {}, "Schemas"), ...schemas);
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

function find(words) {
  for (const node of document.querySelectorAll("[data-words]")) node.hidden = !node.dataset.words.includes(words);
  for (const section of document.querySelectorAll("#contents section, #operations section")) {
    section.hidden = !section.querySelector("[data-words]:not([hidden])");
  }
}

document.getElementById("find").addEventListener("input", (event) => find(event.target.value.trim().toLowerCase()));
fetch("/openapi.json")
  .then((answer) => answer.json())
  .then(show)
  .catch((error) => { document.getElementById("operations").textContent = `openapi.json could not be read: ${error}`; });
