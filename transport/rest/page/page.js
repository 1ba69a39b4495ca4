// Renders /v1/openapi.json. All text becomes text nodes, never markup.
"use strict";

function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== undefined && child !== ""));
  return node;
}

function nameOf(reference) {
  return reference.slice(reference.lastIndexOf("/") + 1);
}

// typeOf says what a schema takes, with links to those that have a name.
function typeOf(schema) {
  if (!schema) return make("span", {}, "anything");
  if (schema.$ref) {
    const name = nameOf(schema.$ref);
    return make("a", { href: "#schema-" + name }, name);
  }
  const span = make("span", {});
  const type = [].concat(schema.type || "anything").join(" or ");
  if (schema.items) span.append("list of ", typeOf(schema.items));
  else if (schema.additionalProperties && typeof schema.additionalProperties === "object") span.append("object of ", typeOf(schema.additionalProperties));
  else span.append(schema.format ? type + " (" + schema.format + ")" : type);
  const bounds = [];
  if (schema.enum) bounds.push("one of " + schema.enum.join(", "));
  if (schema.default !== undefined) bounds.push("default " + JSON.stringify(schema.default));
  if (schema.minimum !== undefined) bounds.push("at least " + schema.minimum);
  if (schema.maximum !== undefined) bounds.push("at most " + schema.maximum);
  if (schema.maxLength !== undefined) bounds.push("at most " + schema.maxLength + " characters");
  if (schema.pattern) bounds.push("matching " + schema.pattern);
  if (bounds.length > 0) span.append("; " + bounds.join("; "));
  return span;
}

function table(heads, rows) {
  return make("table", {},
    make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, cell))))));
}

function properties(schema) {
  const required = new Set(schema.required || []);
  return table(["member", "type", ""], Object.entries(schema.properties || {}).map(([name, member]) => [
    make("code", {}, name + (required.has(name) ? " *" : "")), typeOf(member), member.description || "",
  ]));
}

function quoted(text) {
  return "'" + text.replaceAll("'", "'\\''") + "'";
}

function exampleOf(schema, all) {
  if (schema.$ref) schema = all[nameOf(schema.$ref)];
  if (schema.examples) return schema.examples[0];
  if (schema.default !== undefined) return schema.default;
  if (schema.enum) return schema.enum[0];
  const of = { string: "x", integer: schema.minimum || 0, number: schema.minimum || 0, boolean: true, array: [] };
  return of[[].concat(schema.type)[0]];
}

// curl is a line to try. A body has what is required, and what has an example.
function curl(method, path, operation, all) {
  let address = path;
  const query = [];
  for (const parameter of operation.parameters || []) {
    const example = [].concat(exampleOf(parameter.schema, all))[0];
    if (parameter.in === "path") address = address.replace("{" + parameter.name + "}", parameter.schema.examples ? encodeURIComponent(example) : parameter.name.toUpperCase());
    if (parameter.in === "query" && parameter.required) query.push(parameter.name + "=" + encodeURIComponent(example));
  }
  if (query.length > 0) address += "?" + query.join("&");
  const parts = ["curl"];
  const content = operation.requestBody && operation.requestBody.content;
  const answers = (operation.responses["200"] || {}).content || {};
  if (answers["text/event-stream"]) parts.push("-N");
  if (answers["application/octet-stream"] && !answers["application/json"] || answers["application/x-tar"]) parts.push("-OJ");
  const file = content && !content["application/json"];
  const implied = file ? "put" : content ? "post" : "get";
  if (method !== implied) parts.push("-X", method.toUpperCase());
  parts.push(quoted(location.origin + address));
  if (content && content["application/json"]) {
    const schema = content["application/json"].schema;
    const shape = schema.$ref ? all[nameOf(schema.$ref)] : schema;
    const required = new Set(shape.required || []);
    const body = {};
    for (const [name, member] of Object.entries(shape.properties || {})) {
      if (name === "command" && "code" in body) continue; // one of them
      if (required.has(name) || member.examples) body[name] = exampleOf(member, all);
    }
    parts.push("-H 'Content-Type: application/json'", "-d " + quoted(JSON.stringify(body)));
  } else if (file) {
    parts.push("-T FILE");
  }
  return parts.join(" ");
}

function operationOf(method, path, operation, all) {
  const article = make("article", { id: operation.operationId },
    make("h3", {}, make("span", { class: "method" }, method.toUpperCase()), " " + path),
    make("p", {}, make("strong", {}, operation.summary || ""), operation.description ? ". " + operation.description : ""));
  if (operation.parameters && operation.parameters.length > 0) {
    article.append(table(["parameter", "in", "type", ""], operation.parameters.map((p) => [
      make("code", {}, p.name + (p.required ? " *" : "")), p.in, typeOf(p.schema), p.description || "",
    ])));
  }
  if (operation.requestBody) {
    for (const [kind, media] of Object.entries(operation.requestBody.content)) {
      article.append(make("p", {}, "Body: " + kind + ", ", typeOf(media.schema)));
    }
  }
  article.append(table(["answer", "body"], Object.entries(operation.responses).map(([status, answer]) => {
    const cell = make("span", {}, answer.description || "");
    for (const [kind, media] of Object.entries(answer.content || {})) cell.append("; " + kind + ": ", typeOf(media.schema));
    return [make("code", {}, status), cell];
  })));
  article.append(make("pre", {}, make("code", {}, curl(method, path, operation, all))));
  return article;
}

function render(api) {
  const all = api.components.schemas;
  document.getElementById("about").textContent = api.info.description + " Version " + api.info.version + ".";
  const main = document.getElementById("operations");
  const contents = document.getElementById("contents");
  main.replaceChildren();
  for (const tag of api.tags) {
    const links = make("ul", {});
    main.append(make("h2", {}, tag.name), make("p", {}, tag.description || ""));
    for (const [path, methods] of Object.entries(api.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        if (!operation.tags || !operation.tags.includes(tag.name)) continue;
        links.append(make("li", {}, make("a", { href: "#" + operation.operationId }, operation.summary)));
        main.append(operationOf(method, path, operation, all));
      }
    }
    contents.append(make("h2", {}, tag.name), links);
  }
  const schemas = document.getElementById("schemas");
  schemas.append(make("h2", {}, "Schemas"));
  for (const [name, schema] of Object.entries(all)) {
    schemas.append(make("article", { id: "schema-" + name }, make("h3", {}, name), properties(schema)));
  }
}

fetch("/v1/openapi.json")
  .then((answer) => answer.ok ? answer.json() : Promise.reject(new Error("status " + answer.status)))
  .then(render)
  .catch((failure) => {
    document.getElementById("operations").replaceChildren(make("p", {}, "The document cannot be read: " + failure.message));
  });
