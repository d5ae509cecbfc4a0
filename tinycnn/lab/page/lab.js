// The lab's page: a file in the editor, saved while it is written, and what tinycnn says of it. CodeMirror is the editor.
"use strict";

const SOON = 300, AGAIN = 2000;  // ms: from the last key to saving, and from a failure to the next try
const $ = id => document.getElementById(id), all = selector => document.querySelectorAll(selector);
const editor = CodeMirror($("source"), {
  lineNumbers: true, indentUnit: 4, readOnly: true, screenReaderLabel: "The file's source",
  extraKeys: { Esc: () => $("actions").focus(), "Shift-Tab": "indentLess",
    Tab: e => e.execCommand(e.somethingSelected() ? "indentMore" : "insertSoftTab") },
});
let file = "", version = "", newline = "\n";  // what is open, and the version that the text began from
let unsaved = false, clash = false, timer = 0, saving = Promise.resolve();
let running = null;  // what can be stopped
let named = [];  // the lines that the last command has named

// ---------------------------------------------------------------- asking the server

async function ask(method, address, more = {}) {
  const answer = await fetch(address, { method, ...more });
  if (!answer.ok && answer.status !== 412) throw new Error(await answer.text());
  return answer;
}

function state(text) { $("state").textContent = text; }

const alone = work => (...words) => work(...words).catch(error => state(error.message));

// ---------------------------------------------------------------- saving

function changed() {
  unsaved = true;
  state(`${file}: not saved yet`);
  clearTimeout(timer);
  timer = setTimeout(save, SOON);
}

function save() { return saving = saving.then(saveNow); }  // one after the other: each begins from the last one's version

async function saveNow() {
  if (!unsaved || clash) return;
  clearTimeout(timer);
  unsaved = false;
  try {
    const answer = await ask("PUT", `files/${file}`, { body: editor.getValue(newline), headers: { "If-Match": version } });
    clash = answer.status === 412;
    unsaved ||= clash;
    $("changed").hidden = !clash;
    if (!clash) version = answer.headers.get("ETag");
    state(clash ? `${file}: not saved` : unsaved ? `${file}: not saved yet` : `${file}: saved`);
  } catch (error) {
    unsaved = true;
    timer = setTimeout(save, AGAIN);
    state(`${file}: not saved. ${error instanceof TypeError ? "Is tinycnn lab still running? Keep this page open" : error.message}`);
  }
}

async function keep(whose) {
  const answer = await ask("GET", `files/${file}`);
  version = answer.headers.get("ETag");
  clash = false;
  $("changed").hidden = true;
  if (whose === "mine") return save();
  unsaved = false;
  show(await answer.text());
}

addEventListener("beforeunload", event => { if (unsaved) { save(); event.preventDefault(); } });

// ---------------------------------------------------------------- opening

function show(text) {
  newline = text.includes("\r\n") ? "\r\n" : "\n";
  editor.setValue(text);
  state(`${file}: saved`);
}

async function open(name) {
  await save();
  if (unsaved) return;  // what is written here comes first
  editor.setOption("readOnly", true);  // until the other text is there
  const answer = await ask("GET", `files/${name}`), text = await answer.text();
  [file, version] = [name, answer.headers.get("ETag")];
  $("file").textContent = name;
  editor.setOption("mode", name.endsWith(".py") ? "python" : "text/x-c++src");
  show(text);
  editor.clearHistory();
  editor.setOption("readOnly", false);
  for (const task of all("[data-task]")) task.hidden = task.dataset.task !== name;
  await list();
  editor.focus();
}

async function list() {
  const found = await (await ask("GET", "files")).json();
  $("files").replaceChildren(...found.map(({ name }) => {
    const item = document.createElement("li"), button = document.createElement("button");
    [button.type, button.textContent, button.dataset.file] = ["button", name, name];
    button.setAttribute("aria-current", name === file);
    item.append(button);
    return item;
  }));
  const judged = found.some(one => one.name === file && one.judged);
  for (const button of all("[data-run]")) button.disabled = running || !(button.dataset.run === "judge" ? judged : file.endsWith(".cu"));
}

// ---------------------------------------------------------------- the commands

async function run(what, name) {
  if (running) return;
  await save();
  if (unsaved && what !== "lesson") return;
  running = new AbortController();
  $("stop").disabled = false;
  $("verdict").textContent = `${what}: ${name} ...`;
  try {
    await list();
    told(name, await (await ask("POST", `run/${what}/${name}`, { signal: running.signal })).json());
  } catch (error) {
    $("verdict").textContent = error.name === "AbortError" ? "stopped" : error.message;
  }
  running = null;
  $("stop").disabled = true;
  await list();
}

function told(name, { command, status, text, page, version: of }) {
  const old = of && name === file && (unsaved || `"${of}"` !== version) ? " (the file has changed since)" : "";
  $("verdict").textContent = `${["✓", "✗"][status] ?? "!"} ${command}${old}`;
  for (const line of named) editor.removeLineClass(line, "wrap", "named");
  named = [];
  const parts = text.split(new RegExp(`(?<![\\w.-])(${name.replaceAll(".", "\\.")}:\\d+)`));
  $("said").replaceChildren(...parts.map((part, number) => number % 2 ? place(part) : part));
  $("said").hidden = !text;
  $("played").hidden = !page;
  if (page) $("played").src = `pages/${page}?${Date.now()}`;  // another address each time, or nothing is loaded
}

function place(text) {  // a button for FILE:LINE
  const button = document.createElement("button"), line = text.split(":").at(-1) - 1;
  [button.type, button.textContent] = ["button", text];
  button.onclick = () => { editor.setCursor(line, 0); editor.focus(); };
  named.push(editor.addLineClass(line, "wrap", "named"));
  return button;
}

// ---------------------------------------------------------------- what is clicked and pressed

document.addEventListener("click", alone(async ({ target }) => {
  const { exercise, lesson, file: name, keep: whose, run: what } = target.dataset;
  if (name) await open(name);
  else if (exercise) await open((await (await ask("POST", `exercises/${exercise}`)).json()).file);
  else if (lesson) await run("lesson", lesson);
  else if (what) await run(what, file);
  else if (whose) await keep(whose);
  else if (target.id === "stop") running.abort();
}));

document.addEventListener("keydown", alone(async event => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  const button = document.querySelector(`[data-run=${event.shiftKey ? "judge" : "check"}]`);
  event.preventDefault();
  button.click();
}));

$("new").addEventListener("submit", event => event.preventDefault());
$("new").addEventListener("submit", alone(async ({ target }) => {
  const name = target.elements.name.value.trim();
  await ask("PUT", `files/${encodeURIComponent(name)}`, { body: "", headers: { "If-None-Match": "*" } });
  target.reset();
  await open(name);
}));

editor.on("change", (_, { origin }) => { if (origin !== "setValue") changed(); });
alone(list)();
