// Plays what a page was made from: the requests of recorded launches, and frames that were drawn beforehand.
//
// The page holds the recordings compressed, in <script id="data">. Elements name what they are by data- attributes:
//   data-stage     buttons and sliders that move through the requests of one or more recordings side by side
//   data-view      what shows the request at which its stage stands: memory, banks, heat, source, facts
//   data-frames    buttons and a slider that show one of several drawings
//   data-question  a prediction, before which the rest of the page is covered
//   data-field     an image, and the pixels of it that one number of a layer sees
// Where everything stands is kept in the address behind #, so that it can be sent to somebody.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const state = new URLSearchParams(location.hash.slice(1));
const SECTOR = 32, BANKS = 32, LANES = 32, COLUMNS_BEFORE_OFFSETS = 10;
const PART_ROWS = 20;  // of a large array that are drawn at a time, large enough for the lanes' numbers
const INK = "#1b1b1b", PAPER = "#ffffff", EMPTY = "#e9e9e9", TOUCHED = "#ffcf8a", LANE = "#00558c", EARLIER = "#8fbfdc";

let writing = 0;

// Browsers refuse more than a hundred or so new addresses in a few seconds, and a slider moves more often than that.
function remember(name, value) {
  state.set(name, value);
  writing ||= setTimeout(writeAddress, 300);
}

function writeAddress() {
  clearTimeout(writing);
  writing = 0;
  try {
    if (location.protocol !== "about:") history.replaceState(null, "", "#" + state);  // in a notebook's frame there is none
  } catch { /* refused: it is written with what changes next */ }
}

addEventListener("pagehide", writeAddress);

const remembered = (name, otherwise, most) => Math.min(most, Math.max(0, parseInt(state.get(name) ?? otherwise) || 0));
const within = (element, what) => element.querySelector(what);
const plural = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : noun.endsWith("s") ? "es" : "s"}`;

// ---------------------------------------------------------------- recordings

async function inflate(base64) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Int32Array(await new Response(stream).arrayBuffer());
}

class Run {
  constructor(facts, words) {
    Object.assign(this, facts);
    this.words = words;
  }

  column(c, i) { return this.words[c * this.count + i]; }

  // The rows of an array that are drawn when request i is played: those that requests around it touch, and one above and
  // below each. They change with the request for which there would be too many; what a single one touches is all there.
  rowsAt(array, i) {
    const { rows, columns, numbers } = array.grid;
    if (array.whole) return [...Array(rows).keys()];
    if (!array.parts) {
      array.parts = [{ from: 0, rows: new Set() }];
      for (let number = 0; number < this.count; number++) {
        const request = this.request(number), around = new Set(), { rows: drawn } = array.parts.at(-1);
        if (request.array !== array) continue;
        for (const { offset } of request.lanes)
          for (let byte = 0; byte < request.size; byte += array.itemsize) {
            const row = Math.floor(Math.floor((offset + byte) / array.itemsize) % numbers / columns);
            for (const near of [row - 1, row, row + 1]) if (near >= 0 && near < rows) around.add(near);
          }
        const both = new Set([...drawn, ...around]);
        if (drawn.size && both.size > PART_ROWS) array.parts.push({ from: number, rows: around });
        else array.parts.at(-1).rows = both;
      }
    }
    return [...array.parts.findLast(({ from }) => from <= i).rows].sort((a, b) => a - b);
  }

  // One request: {line, array, op, size, block, warp, barriers, lanes: [{lane, offset}]}.
  request(i) {
    const lanes = [], mask = this.column(9, i);
    let offset = 0;
    for (let lane = 0; lane < LANES; lane++) {
      offset += this.column(COLUMNS_BEFORE_OFFSETS + lane, i);
      if ((mask >>> lane) & 1) lanes.push({ lane, offset });
    }
    return {
      line: this.lines[this.column(0, i)], array: this.arrays[this.column(1, i)],
      op: ["load", "store", "atomic"][this.column(2, i)], size: this.column(3, i),
      block: [4, 5, 6].map((c) => this.column(c, i)), warp: this.column(7, i), barriers: this.column(8, i), lanes,
    };
  }
}

// The sectors of global memory that a request touches: their numbers.
function sectorsOf(request) {
  return new Set(request.lanes.map(({ offset }) => Math.floor((offset + request.array.at) / SECTOR)));
}

// What the lanes want of shared memory, for each group that is served at a time: a Map from bank to its words.
function wordsByBank(request) {
  const atATime = request.size <= 4 ? 32 : request.size === 8 ? 16 : 8, groups = [];
  for (const { lane, offset } of request.lanes) {
    const group = (groups[Math.floor(lane / atATime)] ??= new Map());
    for (let byte = 0; byte < request.size; byte += 4) {
      const word = Math.floor((offset + byte) / 4), bank = word % BANKS;
      if (!group.has(bank)) group.set(bank, new Map());
      const words = group.get(bank);
      words.set(word, [...(words.get(word) ?? []), lane]);
    }
  }
  return groups.filter((group) => group);
}

const passesOf = (request) =>
  wordsByBank(request).reduce((sum, group) => sum + Math.max(...[...group.values()].map((words) => words.size)), 0);

// What a request costs: sectors of global memory or passes of shared memory.
const costOf = (request) => (request.array.space === "global" ? sectorsOf(request).size : passesOf(request));
const unitOf = (array) => (array.space === "global" ? "sector" : "pass");

// ---------------------------------------------------------------- stages: a place in one or more lists of requests

class Stage {
  constructor(element, runs) {
    this.element = element;
    this.name = element.dataset.stage;
    this.runs = runs;
    this.choices = data.stages[this.name];  // [{label, lists: [{run, requests}]}]
    this.views = [];
    for (const [name, act] of Object.entries({ back: () => this.go(this.at - 1), next: () => this.go(this.at + 1),
      first: () => this.go(0), last: () => this.go(this.most), play: () => this.play() }))
      within(element, `[data-do=${name}]`)?.addEventListener("click", act);
    this.slider = within(element, "[data-do=at]");
    this.slider.addEventListener("input", () => this.go(+this.slider.value));
    this.which = within(element, "[data-do=which]");
    this.which?.addEventListener("change", () => this.choose(this.which.selectedIndex));
    this.thread = within(element, "[data-do=thread]");
    this.thread?.addEventListener("input", () => this.choose(0));
    for (const axis of ["row", "column"]) {
      this[axis] = within(element, `[data-do=${axis}]`);
      if (!this[axis]) continue;
      this[axis].value = state.get(`${this.name}.${axis}`) ?? this[axis].value;
      this[axis].addEventListener("input", () => { remember(`${this.name}.${axis}`, this[axis].value); this.show(); });
    }
  }

  begin() {
    if (this.thread) this.thread.value = remembered(`${this.name}.thread`, this.thread.value, +this.thread.max);
    this.choose(remembered(`${this.name}.which`, 0, this.choices.length - 1), remembered(this.name, 0, 1e9));
  }

  // Watch another array, or another thread.
  choose(number, at = 0) {
    if (this.which) this.which.selectedIndex = number;
    this.lists = this.choices[number].lists;
    if (this.thread) this.lists = this.lists.map((list) => this.ofThread(list));
    this.costs = this.lists.map(({ run, requests }) => {
      let sum = 0;
      return requests.map((i) => (sum += costOf(this.runs[run].request(i))));
    });
    this.most = Math.max(...this.lists.map((list) => list.requests.length)) - 1;
    this.slider.max = this.most;
    if (this.which) remember(`${this.name}.which`, number);
    if (this.thread) remember(`${this.name}.thread`, this.thread.value);
    this.go(at);
  }

  // Of a list, the requests in which the chosen thread (of the whole grid) takes part.
  ofThread({ run, requests }) {
    const { threads } = this.runs[run], number = +this.thread.value;
    const block = Math.floor(number / threads), inBlock = number % threads;
    this.lane = inBlock % LANES;
    return { run, requests: requests.filter((i) => this.runs[run].column(4, i) === block &&
      this.runs[run].column(7, i) === Math.floor(inBlock / LANES) &&
      (this.runs[run].column(9, i) >>> this.lane) & 1) };
  }

  go(at) {
    this.at = Math.min(this.most, Math.max(0, at));
    this.slider.value = this.at;
    this.slider.setAttribute("aria-valuetext", `request ${this.at + 1} of ${this.most + 1}`);
    within(this.element, "output").textContent = `${this.at + 1} of ${this.most + 1}`;
    remember(this.name, this.at);
    this.show();
  }

  play() {
    const button = within(this.element, "[data-do=play]");
    if (this.timer || this.at === this.most) this.go(this.timer ? this.at : 0);
    clearInterval(this.timer);
    this.timer = this.timer ? 0 : setInterval(() => (this.at < this.most ? this.go(this.at + 1) : this.play()), 250);
    button.textContent = this.timer ? "Stop" : "Play";
  }

  // {request, upTo: the requests so far, sum: what they cost} of one list; a shorter list stays at its end.
  of(list) {
    const { run, requests } = this.lists[list], at = Math.min(this.at, requests.length - 1);
    return { run: this.runs[run], number: requests[at], request: this.runs[run].request(requests[at]), at,
      count: requests.length, upTo: requests.slice(0, at + 1), sum: this.costs[list][at], whole: this.costs[list].at(-1) };
  }

  show() { for (const view of this.views) view(); }
}

// ---------------------------------------------------------------- views

// Drawings grow with the text: they are measured in sixteenths of its size, of which there are so many pixels in one.
const unit = () => parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;
const room = (canvas) => canvas.parentElement.clientWidth / unit();

// A canvas as wide as its place and `height` high: its context, in these units.
function sheet(canvas, height) {
  const ratio = (window.devicePixelRatio || 1) * unit(), width = room(canvas);
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.height = `${height * unit()}px`;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.fillStyle = PAPER;
  context.fillRect(0, 0, width, height);
  context.textAlign = "center";
  context.textBaseline = "middle";
  return { context, width };
}

function label(context, text, x, y, size, colour) {
  context.font = `${size}px system-ui, sans-serif`;
  context.fillStyle = colour;
  context.fillText(text, x, y);
}

// Where the numbers of an array stand on a sheet: (number) => [x, y], or undefined where its row is left out; and the
// size of a cell. drawn: the rows. marks: what is written where some are left out.
function layout(array, width, drawn) {
  const { rows, columns, gap, rowgap, numbers } = array.grid, GAP = 2, MARK = 16, tops = new Map(), marks = [];
  const gaps = GAP * Math.floor((columns - 1) / gap), w = Math.min(26, (width - 2 - gaps) / columns);
  const h = drawn.length > 40 ? 4 : Math.min(18, Math.max(w, drawn.length > 20 ? 7 : 12));
  let y = 1, behind = 0;
  const mark = (text) => { marks.push([text, y + MARK / 2]); y += MARK; };
  for (const row of drawn) {
    if (row !== behind) mark(`⋮ from element ${(row * columns).toLocaleString("en")} on`);
    else if (row && row % rowgap === 0) y += GAP;
    tops.set(row, y);
    y += h;
    behind = row + 1;
  }
  if (behind < rows) mark(`⋮ up to element ${(numbers - 1).toLocaleString("en")}`);
  const x = (c) => 1 + c * w + GAP * Math.floor(c / gap), top = (i) => tops.get(Math.floor(i / columns));
  return { w, h, height: y + 1, marks, place: (i) => top(i) && [x(i % columns), top(i)] };
}

function drawMemory(canvas, stage, list, name) {
  const { run, number, request, upTo } = stage.of(list), array = run.arrays.find((a) => a.name === name);
  const size = array.itemsize, { rows, columns, numbers } = array.grid, drawn = run.rowsAt(array, number);
  const { w, h, height, marks, place } = layout(array, room(canvas), drawn);
  const { context, width } = sheet(canvas, height), gap = w > 5 ? 1 : 0.4;
  const leftOut = within(canvas.closest("[data-view]"), ".left-out");
  leftOut.hidden = array.whole;
  leftOut.textContent = `${name} has ${plural(rows, "row")} of ${columns} numbers. Drawn are those that this request and ` +
    "others near it touch, with one above and below; ⋮ stands for the others.";
  for (const [text, y] of marks) label(context, text, width / 2, y, 11, INK);
  const cell = (i, colour) => {
    if (!place(i)) return;
    const [x, y] = place(i);
    context.fillStyle = colour;
    context.fillRect(x, y, w - gap, h - 1);
  };
  for (const row of drawn)
    for (let i = row * columns; i < Math.min((row + 1) * columns, numbers); i++) cell(i, EMPTY);
  const mine = (r) => (stage.thread ? r.lanes.filter(({ lane }) => lane === stage.lane) : r.lanes);
  const first = (offset) => Math.floor(offset / size) % numbers;
  if (stage.thread)
    for (const i of upTo) {
      const r = run.request(i);
      if (r.array === array) for (const { offset } of mine(r)) cell(first(offset), EARLIER);
    }
  if (request.array !== array) return `${name} is not touched by this request`;
  if (!stage.thread && array.space === "global")
    for (const sector of sectorsOf(request))
      for (let byte = 0; byte < SECTOR; byte += size) {
        const i = (sector * SECTOR + byte - array.at) / size;
        if (i < 0 || Math.floor(i / numbers) !== Math.floor(request.lanes[0].offset / size / numbers)) continue;
        if (!place(i % numbers)) continue;
        cell(i % numbers, TOUCHED);
        const [x, y] = place(i % numbers);
        context.fillStyle = INK;
        if (h > 6) context.fillRect(x, y + h - 2.5, w - gap, 1.5);
      }
  for (const { lane, offset } of mine(request))
    for (let byte = 0; byte < request.size; byte += size) {
      const i = first(offset + byte), [x, y] = place(i);
      context.fillStyle = LANE;
      context.fillRect(x, y + (h > 6 ? 1 : 0), w - gap, h > 6 ? h - 4.5 : h - 1);
      if (w >= 15 && h >= 12) label(context, stage.thread ? "●" : lane, x + (w - gap) / 2, y + h / 2 - 1, 10, PAPER);
    }
  return `${name}: ${plural(mine(request).length, "lane")} at the elements ` +
    [...new Set(mine(request).map(({ offset }) => Math.floor(offset / size)))].join(", ");
}

function drawBanks(canvas, stage, list) {
  const { request } = stage.of(list), groups = wordsByBank(request), H = 17, TOP = 16;
  const high = groups.map((group) => Math.max(...[...group.values()].map((words) => words.size)));
  const { context, width } = sheet(canvas, TOP + H * Math.max(16, high.reduce((a, b) => a + b, 0)) + 2);
  const w = (width - 2) / BANKS;
  let below = 0;
  for (let bank = 0; bank < BANKS; bank++) if (w >= 14 || bank % 4 === 0) label(context, bank, 1 + (bank + 0.5) * w, 8, 10, INK);
  groups.forEach((group, number) => {
    for (let row = 0; row < high[number]; row++)
      for (let bank = 0; bank < BANKS; bank++) {
        const words = [...(group.get(bank)?.values() ?? [])], lanes = words[row];
        const x = 1 + bank * w, y = TOP + (below + row) * H;
        context.fillStyle = lanes ? (row ? TOUCHED : LANE) : EMPTY;
        context.fillRect(x, y, w - 1, H - 1);
        if (lanes && w >= 10)
          label(context, lanes.length > 1 ? `×${lanes.length}` : lanes[0], x + w / 2, y + H / 2, w >= 14 ? 10 : 8, row ? INK : PAPER);
      }
    below += high[number];
  });
  return `${plural(request.lanes.length, "lane")} in ${plural(new Set(groups.flatMap((g) => [...g.keys()])).size, "bank")}: ${plural(below, "pass")}`;
}

// How many requests have touched each pixel so far, and those of one pixel by block.
function drawHeat(canvas, stage, list, name) {
  const { run, upTo } = stage.of(list), array = run.arrays.find((a) => a.name === name);
  const [, rows, columns, channels] = array.shape, counts = new Array(rows * columns).fill(0), blocks = new Map();
  const chosen = Math.min(rows - 1, +stage.row.value) * columns + Math.min(columns - 1, +stage.column.value);
  for (const i of upTo) {
    const request = run.request(i);
    if (request.array !== array) continue;
    const number = ({ offset }) => Math.floor(offset / array.itemsize / channels) % counts.length;
    for (const pixel of new Set(request.lanes.map(number))) {
      counts[pixel]++;
      if (pixel === chosen) blocks.set(`(${request.block})`, (blocks.get(`(${request.block})`) ?? 0) + 1);
    }
  }
  const w = Math.min(44, (room(canvas) - 2) / columns), most = Math.max(1, stage.hottest);
  const { context } = sheet(canvas, w * rows + 2);
  counts.forEach((count, i) => {
    const x = 1 + (i % columns) * w, y = 1 + Math.floor(i / columns) * w, share = count / most;
    context.fillStyle = count ? `hsl(28 95% ${96 - 46 * share}%)` : EMPTY;
    context.fillRect(x, y, w - 1, w - 1);
    label(context, count, x + w / 2, y + w / 2, w > 28 ? 13 : 10, INK);
    if (i !== chosen) return;
    context.strokeStyle = INK;
    context.lineWidth = 3;
    context.strokeRect(x + 0.5, y + 0.5, w - 2, w - 2);
  });
  const who = [...blocks].map(([block, count]) => `block ${block}: ${count}`).join(", ") || "nobody yet";
  return `pixel (${Math.floor(chosen / columns)}, ${chosen % columns}): ${plural(counts[chosen], "request")}; ${who}`;
}

function showSource(element, stage, list) {
  const { run, request } = stage.of(list);
  element.hidden = run.number !== +element.dataset.run;  // of several, that of the recording on the stage
  element.querySelectorAll(".on").forEach((line) => line.classList.remove("on"));
  const line = element.querySelector(`[id$="-${request.line}"]`);
  if (!line) return;
  line.classList.add("on");
  element.scrollTop = line.offsetTop - element.offsetTop - element.clientHeight / 2;
}

function factsOf(stage, list) {
  const { run, request, at, count, sum, whole } = stage.of(list), { array } = request, cost = costOf(request);
  const who = stage.thread ? `thread ${stage.thread.value}` : `block (${request.block}), warp ${request.warp}`;
  const verb = { load: "loads from", store: "stores to", atomic: "adds to" }[request.op];
  const begin = `Request ${at + 1} of ${count}. ${who}, line ${request.line}: ${verb} ${array.name}`;
  if (stage.thread) return `${begin}[${elementOf(request, stage.lane)}].`;
  return `${begin}, ${plural(request.lanes.length, "lane")}, ${plural(cost, unitOf(array))}. ` +
    `So far ${sum.toLocaleString("en")} of ${plural(whole, unitOf(array))}.`;
}

// The index of a lane's element, written as the array's shape wants it: 0, 2, 3, 1.
function elementOf(request, lane) {
  const { offset } = request.lanes.find((l) => l.lane === lane);
  let rest = Math.floor(offset / request.array.itemsize);
  const index = [];
  for (const extent of [...request.array.shape].reverse()) {
    index.unshift(rest % extent);
    rest = Math.floor(rest / extent);
  }
  return index.join("][");
}

function attach(element, stages) {
  const { view, of, list, array } = element.dataset, stage = stages[of], number = +(list ?? 0);
  const canvas = within(element, "canvas"), words = within(element, ".words");
  const draw = { memory: drawMemory, banks: drawBanks, heat: drawHeat }[view];
  stage.views.push(() => {
    if (!stage.lists[number]?.requests.length) return;
    if (view === "source") showSource(element, stage, number);
    else if (view === "facts") element.textContent = factsOf(stage, number);
    else {
      const text = draw(canvas, stage, number, array);
      canvas.setAttribute("aria-label", text);
      if (words) words.textContent = text;
    }
  });
}

// ---------------------------------------------------------------- frames, questions, receptive fields

function beginFrames(element) {
  const frames = [...element.querySelectorAll(":scope > .frame")], slider = within(element, "[data-do=at]");
  const show = (at) => {
    at = Math.min(frames.length - 1, Math.max(0, at));
    frames.forEach((frame, i) => (frame.hidden = i !== at));
    slider.value = at;
    within(element, "output").textContent = frames[at].dataset.name;
    slider.setAttribute("aria-valuetext", frames[at].dataset.name);
    remember(element.dataset.frames, at);
  };
  slider.max = frames.length - 1;
  slider.addEventListener("input", () => show(+slider.value));
  within(element, "[data-do=back]").addEventListener("click", () => show(+slider.value - 1));
  within(element, "[data-do=next]").addEventListener("click", () => show(+slider.value + 1));
  show(remembered(element.dataset.frames, 0, frames.length - 1));
}

function beginQuestions(redraw) {
  const uncover = () => {
    document.querySelectorAll(".after").forEach((part) => (part.hidden = false));
    remember("shown", 1);
    redraw();
  };
  const forms = [...document.querySelectorAll("[data-question]")];
  for (const form of forms) {
    const tell = (text) => (within(form, ".told").textContent = text);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const chosen = within(form, "input:checked"), right = form.dataset.answer;
      if (!chosen) return tell("Choose one first.");
      const answer = within(form, `input[value="${right}"]`).parentElement.textContent.trim();
      tell(`${chosen.value === right ? "Right" : `Not quite, it is ${answer}`}: ${form.dataset.because}`);
      form.dataset.done = 1;
      if (forms.every((f) => f.dataset.done)) uncover();
    });
  }
  document.querySelector("[data-do=uncover]")?.addEventListener("click", uncover);
  if (forms.length && !state.has("shown")) document.querySelectorAll(".after").forEach((part) => (part.hidden = true));
}

// The box of pixels that one number of a layer depends on: it begins at `start + jump * place` and is `size` long.
function beginField(element) {
  const canvas = within(element, "canvas"), image = within(element, "img"), layers = data.layers;
  const [which, row, column] = ["layer", "row", "column"].map((name) => within(element, `[data-do=${name}]`));
  const draw = () => {
    const layer = layers[which.selectedIndex], pixels = image.naturalWidth;
    row.max = layer.rows - 1;
    column.max = layer.columns - 1;
    const scale = Math.min(320, room(canvas) - 10) / pixels, { context } = sheet(canvas, scale * pixels);
    context.imageSmoothingEnabled = false;
    context.drawImage(image, 0, 0, scale * pixels, scale * pixels);
    const box = [0, 1].map((axis) => layer.start[axis] + layer.jump[axis] * +(axis ? column : row).value);
    context.strokeStyle = "#d55e00";
    context.lineWidth = 3;
    context.strokeRect(box[1] * scale, box[0] * scale, layer.size[1] * scale, layer.size[0] * scale);
    const text = `${layer.name}, row ${row.value}, column ${column.value}: sees ${layer.size.join(" x ")} pixels, ` +
      `from row ${box[0]} and column ${box[1]} on`;
    canvas.setAttribute("aria-label", text);
    within(element, ".words").textContent = text;
  };
  canvas.addEventListener("click", (event) => {
    const layer = layers[which.selectedIndex], scale = unit() * Math.min(320, room(canvas) - 10) / image.naturalWidth;
    const middle = (axis, at) => Math.round((at / scale - layer.start[axis] - layer.size[axis] / 2) / layer.jump[axis]);
    row.value = middle(0, event.offsetY);
    column.value = middle(1, event.offsetX);
    draw();
  });
  for (const input of [which, row, column]) input.addEventListener("input", draw);
  image.decode().then(draw);
  return draw;
}

// ---------------------------------------------------------------- the page

async function begin() {
  const runs = await Promise.all(data.runs.map(async (facts) => new Run(facts, await inflate(facts.data))));
  const stages = {}, draws = [];
  for (const element of document.querySelectorAll("[data-stage]")) stages[element.dataset.stage] = new Stage(element, runs);
  for (const element of document.querySelectorAll("[data-view]")) attach(element, stages);
  document.querySelectorAll("[data-frames]").forEach(beginFrames);
  const scrollToFault = () => document.querySelectorAll(".source:not([data-view])").forEach((element) => {
    const line = within(element, ".fault");
    if (line) element.scrollTop = line.offsetTop - element.offsetTop - element.clientHeight / 3;
  });
  for (const stage of Object.values(stages)) {
    stage.hottest = data.hottest ?? 1;
    stage.begin();
  }
  for (const element of document.querySelectorAll("[data-field]")) draws.push(beginField(element));
  const redraw = () => {
    for (const stage of Object.values(stages)) stage.show();
    for (const draw of draws) draw();
    scrollToFault();
  };
  beginQuestions(redraw);
  const larger = document.querySelector("[data-do=larger]");
  const enlarge = (on) => {
    document.documentElement.classList.toggle("projector", on);
    larger.setAttribute("aria-pressed", on);
    redraw();
  };
  larger.addEventListener("click", () => {
    const on = larger.getAttribute("aria-pressed") !== "true";
    remember("projector", +on);
    enlarge(on);
  });
  if (state.get("projector") === "1") enlarge(true);
  scrollToFault();
  window.addEventListener("resize", redraw);
  document.body.dataset.ready = 1;
  performance.mark("ready");
}

begin().catch((error) => {
  const told = Object.assign(document.createElement("p"), { className: "fault-text" });
  told.textContent = "This page cannot be played here: it needs a browser of 2023 or newer.";
  document.querySelector("main").prepend(told);
  throw error;
});
