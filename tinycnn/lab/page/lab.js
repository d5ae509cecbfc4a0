// The lab's page: a file in the editor, saved while it is written, and what tinycnn says of it. CodeMirror is the editor.
"use strict";

const SOON = 300, AGAIN = 2000;  // ms: from the last key to saving, and from a failure to the next try
const $ = id => document.getElementById(id), all = selector => document.querySelectorAll(selector);
const button = (text, more) => Object.assign(document.createElement("button"), { type: "button", textContent: text }, more);
const editor = CodeMirror($("source"), {
  lineNumbers: true, indentUnit: 4, readOnly: true, screenReaderLabel: "The file's source",
  extraKeys: { Esc: () => $("keys").focus(), Tab: "indentMore", "Shift-Tab": "indentLess" },
});
let file = "", version = "", newline = "\n";  // what is open, and the version that the text began from
let unsaved = false, clash = false, timer = 0;
let running = null, named = [];  // what can be stopped; the lines that the last command has named
let line = Promise.resolve();  // whatever reads or writes the file waits here for its turn

// Not `disabled`, which takes the keyboard's place from the button that has it.
const off = (one, is) => one.setAttribute("aria-disabled", !!is);
const state = text => { $("state").textContent = text; };
const queue = work => line = line.then(work).catch(error => state(error.message));

async function ask(method, address, more) {
  const answer = await fetch(address, { method, ...more });
  if (!answer.ok && answer.status !== 412) throw new Error(await answer.text());  // 412: another version is there
  return answer;
}

async function save() {
  if (!unsaved || clash) return;
  clearTimeout(timer);
  unsaved = false;
  try {
    const answer = await ask("PUT", `files/${file}`, { body: editor.getValue(newline), headers: { "If-Match": version } });
    clash = answer.status === 412;
    unsaved ||= clash;
    $("changed").hidden = !clash;
    if (!clash) version = answer.headers.get("ETag");
    state(`${file}: ${clash ? "not saved" : unsaved ? "not saved yet" : "saved"}`);
  } catch (error) {
    unsaved = true;
    timer = setTimeout(queue, AGAIN, save);
    const lost = error instanceof TypeError;  // nobody has answered
    state(`${file}: not saved. ${lost ? "Is tinycnn lab still running? Keep this page open" : error.message}`);
  }
}

async function open(name) {
  await save();
  if (unsaved) return;  // what is written here comes first
  editor.setOption("readOnly", true);  // until the other text is there
  try {
    const answer = await ask("GET", `files/${name}`), text = await answer.text();
    [file, version, unsaved, clash] = [name, answer.headers.get("ETag"), false, false];
    newline = text.includes("\r\n") ? "\r\n" : "\n";
    editor.setOption("mode", name.endsWith(".py") ? "python" : "text/x-c++src");
    editor.setValue(text);
    editor.clearHistory();
    $("file").textContent = name;
    history.replaceState(null, "", `#${encodeURIComponent(name)}`);  // reloaded, the page opens it again
    $("changed").hidden = true;
    for (const task of all("[data-task]")) task.hidden = task.dataset.task !== name;
    state(`${name}: saved`);
    await list();
  } finally {
    editor.setOption("readOnly", !file);
  }
  editor.focus();
}

async function begin(exercise) { await open((await (await ask("POST", `exercises/${exercise}`)).json()).file); }

async function make(name) {
  if (name.includes("/")) throw new Error(`${name}: a new file is named without a folder`);
  await ask("PUT", `files/${encodeURIComponent(name)}`, { body: "", headers: { "If-None-Match": "*" } });
  await open(name);
}

async function keep(whose) {
  const there = await fetch(`files/${file}`);
  if (whose === "theirs" && !there.ok) throw new Error(await there.text());  // it may be gone: then mine is all there is
  clash = false;
  unsaved = whose === "mine";
  if (unsaved) version = there.headers.get("ETag") ?? '""';
  await (unsaved ? save() : open(file));
}

async function list() {
  const found = await (await ask("GET", "files")).json();
  const item = ({ name }) => button(name, { name: "file", value: name, ariaCurrent: name === file });
  $("files").replaceChildren(...found.map(item));
  const judged = found.some(one => one.name === file && one.judged);
  for (const one of all("[name=run]")) off(one, running || !(one.value === "judge" ? judged : file.endsWith(".cu")));
}

async function run(what, name) {
  if (running) return;
  running = new AbortController();
  off($("stop"), false);
  $("verdict").textContent = `${what}: ${name} ...`;
  try {
    await queue(save);
    if (unsaved && what !== "lesson") throw new Error(`${name} is not saved`);
    await list();
    tell(what, name, await (await ask("POST", `run/${what}/${name}`, { signal: running.signal })).json());
  } catch (error) {
    $("verdict").textContent = error.name === "AbortError" ? "stopped" : error.message;
  }
  running = null;
  off($("stop"), true);
  await list();
}

function tell(what, name, { command, status, text, page, version: of }) {
  const old = of && (unsaved || name !== file || `"${of}"` !== version) ? " (of a text that was there before)" : "";
  $("verdict").textContent = `${page ? "▶" : ["✓", "✗"][status] ?? "!"} ${command}${old}`;
  for (const handle of named.splice(0)) editor.removeLineClass(handle, "wrap", "named");
  const parts = text.split(new RegExp(`(?<![\\w.-])(${name.replaceAll(".", "\\.")}:\\d+)`));
  $("said").replaceChildren(...parts.map((part, number) => {
    if (number % 2 === 0 || name !== file) return part;
    const at = part.split(":")[1] - 1;
    named.push(editor.addLineClass(at, "wrap", "named"));
    return button(part, { onclick() { editor.setCursor(at, 0); editor.focus(); } });
  }));
  $("said").className = what;
  $("said").hidden = !text;
  $("played").hidden = !page;
  // A new address each time, for the page is new; in a new frame, or Back would change what it shows and nothing else.
  if (page) $("played").replaceWith(Object.assign($("played").cloneNode(), { src: `pages/${page}?${Date.now()}` }));
}

document.addEventListener("click", ({ target }) => {
  const { name, value } = target;
  if (target.ariaDisabled === "true") return;
  const work = { file: open, exercise: begin, keep }[name];
  if (work) queue(() => work(value));
  else if (name === "run") run(value, file);
  else if (name === "lesson") run(name, value);
  else if (name === "stop") running.abort();
});

$("new").onsubmit = event => { event.preventDefault(); queue(() => make(event.target.elements.name.value)); };

addEventListener("keydown", event => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  document.querySelector(`[name=run][value=${event.shiftKey ? "judge" : "check"}]`).click();
});

addEventListener("beforeunload", event => { if (unsaved) event.preventDefault(); });  // the browser asks whether to go

editor.on("change", (_, { origin }) => {
  if (origin === "setValue") return;
  unsaved = true;
  state(`${file}: not saved yet`);
  clearTimeout(timer);
  timer = setTimeout(queue, SOON, save);
});

queue(list);
if (location.hash) queue(() => open(decodeURIComponent(location.hash.slice(1))));
