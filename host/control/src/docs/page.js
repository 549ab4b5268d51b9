"use strict";
// Lists what openapi.json says and sends requests to this host. Whatever comes from the host is put on the page as text,
// never as markup; the key is kept in the input alone.

const element = (id) => document.getElementById(id);

const make = (tag, text, className) => {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
};

// Text with `code` in it, as nodes.
const marked = (text) => text.split("`").map((part, place) => make(place % 2 ? "code" : "span", part));

let api = null;

const bodyOf = (operation) => {
  const content = operation.requestBody && operation.requestBody.content;
  return content ? Object.keys(content)[0] : null;
};

// An example of a schema: required fields and those with a default, three levels deep.
const exampleOf = (schema, depth = 0) => {
  if (!schema || depth > 3) return null;
  if (schema.$ref) return exampleOf(api.components.schemas[schema.$ref.split("/").pop()], depth);
  if (schema.default !== undefined) return schema.default;
  if (schema.example !== undefined) return schema.example;
  if (schema.enum) return schema.enum[0];
  const variant = (schema.oneOf || schema.anyOf || []).find((one) => one.type !== "null");
  if (variant) return exampleOf(variant, depth);
  if (schema.allOf) return Object.assign({}, ...schema.allOf.map((part) => exampleOf(part, depth)));
  const type = Array.isArray(schema.type) ? schema.type.find((one) => one !== "null") : schema.type;
  if (type === "object") {
    const names = schema.required || [];
    return Object.fromEntries(names.map((name) => [name, exampleOf((schema.properties || {})[name], depth + 1)]));
  }
  if (type === "array") return [];
  if (type === "integer" || type === "number") return schema.minimum || 0;
  if (type === "boolean") return false;
  return "";
};

const request = () => {
  const method = element("method").value;
  const headers = {};
  const key = element("key").value.trim();
  if (key) headers.authorization = `Bearer ${key}`;
  const condition = element("condition").value.trim();
  if (condition) headers["if-match"] = condition;
  const file = element("file").files[0];
  let body;
  if (method === "POST" || method === "PUT") {
    body = file || element("body").value;
    if (file || body !== "") headers["content-type"] = element("kind").value;
    if (body === "") body = undefined;
  }
  return { method, path: element("path").value, headers, body, file };
};

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

const showCommand = () => {
  const { method, path, headers, body, file } = request();
  const parts = ["curl", "-X", method, quoted(location.origin + path)];
  for (const [name, value] of Object.entries(headers)) {
    parts.push("-H", name === "authorization" ? `"authorization: Bearer $LOCKGATE_KEY"` : quoted(`${name}: ${value}`));
  }
  if (file) parts.push("--data-binary", quoted(`@${file.name}`));
  else if (body !== undefined) parts.push("--data-binary", quoted(body));
  element("curl").textContent = parts.join(" ");
  const open = /\{[a-z]+\}/.exec(path);
  element("mistake").textContent = open ? `The path still says ${open[0]}.` : "";
  return !open;
};

const send = async (event) => {
  event.preventDefault();
  if (!showCommand()) return;
  const { method, path, headers, body } = request();
  element("outcome").textContent = "waiting …";
  const started = performance.now();
  try {
    const response = await fetch(path, { method, headers, body, redirect: "error", credentials: "omit" });
    const text = await response.text();
    const took = (performance.now() - started).toFixed(1);
    const etag = response.headers.get("etag");
    const id = response.headers.get("x-request-id");
    element("outcome").textContent = `status ${response.status}, ${took} ms, request ${id}${etag ? `, ETag ${etag}` : ""}`;
    try {
      element("answer").textContent = JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      element("answer").textContent = text.slice(0, 100000);
    }
  } catch (error) {
    element("outcome").textContent = "failed";
    element("answer").textContent = String(error);
  }
};

const choose = (path, method, operation) => {
  element("method").value = method.toUpperCase();
  element("path").value = path;
  element("condition").value = "";
  element("file").value = "";
  const kind = bodyOf(operation);
  if (kind) element("kind").value = kind;
  const schema = kind === "application/json" ? operation.requestBody.content[kind].schema : null;
  element("body").value = schema ? JSON.stringify(exampleOf(schema), null, 2) : "";
  showCommand();
  element("path").focus();
};

const describe = (path, method, operation) => {
  const item = document.createElement("li");
  item.dataset.text = `${method} ${path} ${operation.summary || ""}`.toLowerCase();
  const name = make("button", `${method.toUpperCase()} ${path}`, "name");
  name.type = "button";
  name.addEventListener("click", () => choose(path, method, operation));
  item.append(name);
  if (operation.summary) item.append(make("p", operation.summary));
  const notes = [];
  if (operation["x-scope"]) notes.push(`scope ${operation["x-scope"]}`);
  else notes.push(operation.security.length ? "any key" : "no key");
  if (operation["x-audit-action"]) notes.push(`audit: ${operation["x-audit-action"]}`);
  item.append(make("p", notes.join("; "), "note"));
  return item;
};

const filter = () => {
  const wanted = element("filter").value.toLowerCase();
  for (const item of element("operations").querySelectorAll("li")) item.hidden = !item.dataset.text.includes(wanted);
  for (const list of element("operations").querySelectorAll("details")) {
    const shown = [...list.querySelectorAll("li")].some((item) => !item.hidden);
    list.hidden = !shown;
    if (wanted && shown) list.open = true;
  }
};

const load = async () => {
  api = await (await fetch("/openapi.json")).json();
  element("title").textContent = api.info.title;
  element("description").replaceChildren(...marked(api.info.description || ""));
  const groups = new Map();
  for (const [path, item] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const tag = (operation.tags || ["other"])[0];
      if (!groups.has(tag)) groups.set(tag, document.createElement("ul"));
      groups.get(tag).append(describe(path, method, operation));
    }
  }
  for (const [tag, list] of groups) {
    const group = document.createElement("details");
    group.append(make("summary", `${tag} (${list.children.length})`), list);
    element("operations").append(group);
  }
  const ready = await fetch("/readyz");
  element("readiness").textContent = ready.ok ? "ready" : "not ready";
};

for (const id of ["key", "method", "path", "condition", "kind", "body", "file"]) element(id).addEventListener("input", showCommand);
element("filter").addEventListener("input", filter);
element("try").addEventListener("submit", send);
showCommand();
load().catch((error) => { element("readiness").textContent = `not reachable: ${error.message}`; });
