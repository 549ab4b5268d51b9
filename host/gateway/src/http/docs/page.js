"use strict";
// Shows what openapi.json says and sends requests to the flow. Everything that comes from an executor's author is
// put on the page as text, never as markup.

const element = (id) => document.getElementById(id);

// Where a key is needed, the page asks for it and keeps it in this variable alone. Addresses are relative: the page may
// stand under a prefix that names the flow.
let key = "";
const ask = (address, options = {}) => {
  const headers = { ...options.headers };
  if (key) headers.authorization = `Bearer ${key}`;
  return fetch(address, { ...options, headers });
};

const make = (tag, text, className) => {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
};

const documentsOf = (text) => {
  const trimmed = text.trim();
  if (trimmed.startsWith("[") || trimmed.startsWith("{")) {
    const parsed = JSON.parse(trimmed);
    return Array.isArray(parsed) ? parsed : [parsed];
  }
  return text.split("\n").filter((line) => line !== "").map((line) => ({ text: line }));
};

const requestBody = () => {
  const body = { data: documentsOf(element("texts").value), execEndpoint: element("endpoint").value };
  const parameters = element("parameters").value.trim();
  if (parameters !== "") body.parameters = JSON.parse(parameters);
  return body;
};

const showCommand = () => {
  try {
    const body = JSON.stringify(requestBody()).replaceAll("'", "'\\''");
    element("curl").textContent = `curl ${new URL("post", location.href)} -H 'content-type: application/json'${key && ' -H "authorization: Bearer $LOCKGATE_KEY"'} -d '${body}'`;
    element("mistake").textContent = "";
    return true;
  } catch (error) {
    element("mistake").textContent = `That is not JSON: ${error.message}`;
    return false;
  }
};

const send = async (event) => {
  event.preventDefault();
  if (!showCommand()) return;
  element("outcome").textContent = "waiting …";
  const started = performance.now();
  try {
    const response = await ask("post", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(requestBody()),
    });
    const text = await response.text();
    const took = (performance.now() - started).toFixed(1);
    element("outcome").textContent = `status ${response.status}, ${took} ms`;
    try {
      element("answer").textContent = JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      element("answer").textContent = text;
    }
  } catch (error) {
    element("outcome").textContent = "failed";
    element("answer").textContent = String(error);
  }
};

const describe = (path, operation) => {
  const item = document.createElement("li");
  const name = make("button", path, "name");
  name.type = "button";
  name.setAttribute("aria-label", `Try ${path}`);
  name.addEventListener("click", () => {
    element("endpoint").value = path === "/post" ? "/" : path;
    showCommand();
    element("endpoint").focus();
  });
  item.append(name);
  const executors = operation["x-executors"] || [];
  // The operation's own description is those of its executors in one text.
  if (operation.description && !executors.length) item.append(make("p", operation.description));
  for (const executor of executors) {
    const columns = [];
    if (executor.reads && executor.reads.length) columns.push(`reads ${executor.reads.join(", ")}`);
    if (executor.writes && executor.writes.length) columns.push(`writes ${executor.writes.join(", ")}`);
    if (executor.streaming) columns.push("streams");
    const line = columns.length ? `${executor.name}: ${columns.join("; ")}` : executor.name;
    item.append(make("p", line, "note"));
    if (executor.description) item.append(make("p", executor.description));
  }
  return item;
};

const load = async () => {
  const described = await ask("openapi.json");
  element("key-form").hidden = described.status !== 401 && key === "";
  const api = await described.json();
  if (!described.ok) {
    element("readiness").textContent = api.error ? [api.error.message, api.error.hint].filter(Boolean).join("; ") : `status ${described.status}`;
    return;
  }
  element("endpoints").replaceChildren();
  element("endpoint-names").replaceChildren();
  document.title = api.info.title;
  element("title").textContent = api.info.title;
  element("description").textContent = api.info.description || "";
  for (const [path, item] of Object.entries(api.paths)) {
    if (!item.post) continue;
    element("endpoints").append(describe(path, item.post));
    if (path !== "/post") {
      const option = document.createElement("option");
      option.value = path;
      element("endpoint-names").append(option);
    }
  }
  const ready = await ask("readyz");
  element("readiness").textContent = ready.ok ? "ready" : "not ready";
};

for (const id of ["endpoint", "texts", "parameters"]) element(id).addEventListener("input", showCommand);
const show = () => load().catch((error) => { element("readiness").textContent = `not reachable: ${error.message}`; });
element("try").addEventListener("submit", send);
element("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key = element("key").value.trim();
  showCommand();
  show();
});
showCommand();
show();
