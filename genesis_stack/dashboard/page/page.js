// Follows /api/live and draws what it says. Text only ever enters the page as text, never as HTML.

const LIVE_SECONDS = 15 * 60;
const REFETCH_MS = 60_000;
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 400, HEIGHT = 150, LEFT = 52, RIGHT = 8, TOP = 8, BOTTOM = 20;

const GOOD = new Set(["ready"]);
const PASSING = new Set(["starting", "draining", "unloaded"]);
const WORDS = { stranger: "another server answers" };

const number = (digits) => (value) =>
  value.toLocaleString("en", { maximumFractionDigits: digits, minimumFractionDigits: digits });
const count = number(0);
const seconds = (value) => value < 0.9995 ? `${count(value * 1000)} ms` : `${number(value < 99.95 ? 2 : 0)(value)} s`;
const bytes = (value) => value < 2 ** 30 ? `${count(value / 2 ** 20)} MiB` : `${number(2)(value / 2 ** 30)} GiB`;
const percent = (value) => `${number(1)(value * 100)} %`;
const shown = (value, format) => value === null || value === undefined ? "–" : format(value);
const clock = (at) => new Date(at * 1000).toLocaleTimeString();
const moment = (at) => at === null ? "–" : new Date(at * 1000).toLocaleString();

function ago(at, now) {
  const past = Math.max(0, Math.round(now - at));
  const [days, hours, minutes] = [Math.floor(past / 86400), Math.floor(past / 3600) % 24, Math.floor(past / 60) % 60];
  return days ? `${days} d ${hours} h` : hours ? `${hours} h ${minutes} min` : minutes ? `${minutes} min` : `${past} s`;
}

// Each plot: what it is called, its lines, how a value reads, and the limit that the stack sets it.
const PLOTS = {
  tokens: { title: "Tokens per second", lines: ["generated", "prompt"], format: number(1), limit: () => null },
  ttft: { title: "Time to first token", lines: ["p50", "p95"], format: seconds, limit: (model) => model.slo.ttft_p95 },
  latency: { title: "Request latency", lines: ["p50", "p95"], format: seconds, limit: (model) => model.slo.latency_p95 },
  memory: { title: "Memory", lines: ["resident"], format: bytes, limit: (model) => model.budget },
};

// The numbers of a model: name in the view, label, text.
const VALUES = [
  ["generated_per_second", "Tokens/s now", (m) => shown(m.pace.generated, number(1))],
  ["prompt_per_second", "Prompt tokens/s", (m) => shown(m.pace.prompt, number(1))],
  ["ttft_p95", "First token p95", (m) => shown(m.pace.first_token.p95, seconds)],
  ["latency_p95", "Latency p95", (m) => shown(m.pace.latency.p95, seconds)],
  ["inter_token_p99", "Between tokens p99", (m) => shown(m.pace.inter_token.p99, seconds)],
  ["processing", "Running", (m) => shown(m.totals.processing, count)],
  ["deferred", "Waiting", (m) => shown(m.totals.deferred, count)],
  ["requests", "Requests", (m) => shown(m.totals.requests, count)],
  ["errors", "Server errors", (m) => shown(m.totals.errors, count)],
  ["prompt_tokens", "Prompt tokens", (m) => shown(m.totals.prompt_tokens, count)],
  ["generated_tokens", "Generated tokens", (m) => shown(m.totals.generated_tokens, count)],
  ["kv_cache", "KV cache", (m) => shown(m.totals.kv_cache, percent)],
  ["memory", "Memory", (m) => `${shown(m.totals.memory, bytes)} of ${bytes(m.budget)}`],
  ["started", "Up for", (m, now) => shown(m.totals.started, (at) => ago(at, now))],
];

const page = (id) => document.getElementById(id);
const past = { span: "", models: {} };
const cards = new Map();
let view = null;

function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = className;
  return made;
}

function shape(tag, attributes, text = "") {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

function badge(place, text, mood) {
  place.className = `badge ${mood}`;
  if (place.textContent !== text) place.textContent = text;
}

const mood = (state) => GOOD.has(state) ? "good" : PASSING.has(state) ? "warn" : "bad";

function card(name) {
  if (cards.has(name)) return cards.get(name);
  const article = page("model").content.cloneNode(true).querySelector("article");
  article.dataset.model = name;
  article.querySelector("h2").textContent = name;
  const values = new Map(VALUES.map(([key, label]) => {
    const group = element("div"), value = element("dd");
    value.dataset.value = key;
    group.append(element("dt", label), value);
    article.querySelector("dl").append(group);
    return [key, value];
  }));
  const meter = document.createElement("meter");
  meter.setAttribute("aria-label", "Memory against budget");
  values.get("memory").after(meter);
  const plots = new Map(Object.keys(PLOTS).map((key) => [key, figure(article.querySelector(".plots"), name, key)]));
  page("models").append(article);
  cards.set(name, { article, values, meter, plots });
  return cards.get(name);
}

function figure(place, model, key) {
  const made = element("figure"), caption = element("figcaption");
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", tabindex: "0" });
  const plot = { model, key, caption, svg, at: null };
  made.append(caption, svg);
  place.append(made);
  const point = (at) => { plot.at = at; draw(plot); };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const { times } = series(plot);
    if (!times.length) return;
    const share = ((event.clientX - box.left) / box.width * WIDTH - LEFT) / (WIDTH - LEFT - RIGHT);
    const [from, to] = range(times);
    const wanted = from + Math.min(1, Math.max(0, share)) * (to - from);
    point(times.reduce((best, at) => Math.abs(at - wanted) < Math.abs(best - wanted) ? at : best));
  });
  for (const left of ["pointerleave", "blur"]) svg.addEventListener(left, () => point(null));
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const { times } = series(plot);
    if (!step || !times.length) return;
    event.preventDefault();
    const index = plot.at === null ? times.length : times.indexOf(plot.at);
    point(times[Math.min(times.length - 1, Math.max(0, index + step))]);
  });
  return plot;
}

function series({ model, key }) {
  const known = past.models[model] ?? { times: [], lines: {} };
  const lines = PLOTS[key].lines.map((name) => ({ name, values: known.lines[`${key}/${name}`] ?? [] }));
  return { times: known.times, lines };
}

function range(times) {
  const to = times.at(-1);
  return [past.span ? times[0] : Math.min(times[0], to - 60), to];
}

// 1, 2 or 5 times a power of ten (of two for bytes) that divides the height into a few parts.
function ticks(most, isBytes) {
  const base = isBytes ? 2 : 10;
  const power = base ** Math.floor(Math.log(most / 3) / Math.log(base));
  const step = (isBytes ? [1, 2] : [1, 2, 5, 10]).map((part) => part * power).find((one) => most / one <= 3.5) ?? power * 10;
  return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, index) => index * step);
}

function draw(plot) {
  const { title, format, limit } = PLOTS[plot.key];
  const { times, lines } = series(plot);
  const bound = limit(view.models.find((model) => model.model === plot.model) ?? { slo: {} }) ?? null;
  const highest = Math.max(0, ...lines.flatMap((line) => line.values.filter((value) => value !== null)), bound ?? 0);
  const most = (highest || 1) * 1.08;
  const [from, to] = times.length ? range(times) : [0, 1];
  const x = (at) => LEFT + (at - from) / (to - from || 1) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - value / most * (HEIGHT - TOP - BOTTOM);
  const across = (value) => `M${LEFT} ${y(value).toFixed(1)}H${WIDTH - RIGHT}`;
  const parts = [];
  for (const tick of ticks(most, format === bytes)) {
    parts.push(shape("path", { class: "grid", d: across(tick) }));
    parts.push(shape("text", { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, format(tick)));
  }
  if (times.length) {
    const wide = past.span === "7d" ? { month: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit" };
    const label = (at) => new Date(at * 1000).toLocaleString([], wide);
    parts.push(shape("text", { x: LEFT, y: HEIGHT - 5 }, label(from)));
    parts.push(shape("text", { x: WIDTH - RIGHT, y: HEIGHT - 5, "text-anchor": "end" }, label(to)));
  }
  if (bound !== null) parts.push(shape("path", { class: "limit", d: across(bound) }));
  lines.forEach(({ values }, index) => {
    let pen = "M", trace = "";
    values.forEach((value, at) => {
      if (value === null) { pen = "M"; return; }
      trace += `${pen}${x(times[at]).toFixed(1)} ${y(value).toFixed(1)}`;
      if (pen === "M") trace += "h.01"; // a lone point shows as a dot
      pen = "L";
    });
    parts.push(shape("path", { class: `line-${index}`, d: trace }));
  });
  const at = plot.at === null ? times.length - 1 : times.indexOf(plot.at);
  if (plot.at !== null && at >= 0) parts.push(shape("path", { class: "cursor", d: `M${x(plot.at).toFixed(1)} ${TOP}V${HEIGHT - BOTTOM}` }));
  plot.svg.replaceChildren(...parts);
  const said = lines.map(({ name, values }, index) => element("i", `${name} ${shown(values[at], format)}`, `line-${index}`));
  if (bound !== null) said.push(element("i", `limit ${format(bound)}`, "limit"));
  plot.caption.replaceChildren(element("b", plot.at === null ? title : `${title}, ${moment(plot.at)}`), ...said);
  plot.svg.setAttribute("aria-label", `${title}: ${said.map((one) => one.textContent).join(", ")}; highest ${format(highest)}`);
}

function showModel(model) {
  const { article, values, meter, plots } = card(model.model);
  badge(article.querySelector(".badge"), WORDS[model.state] ?? model.state, mood(model.state));
  article.querySelector(".address").textContent = model.address;
  for (const [key, , text] of VALUES) values.get(key).textContent = text(model, view.at);
  Object.assign(meter, { min: 0, max: model.budget, high: model.budget * 0.9, value: model.totals.memory ?? 0 });
  for (const plot of plots.values()) draw(plot);
}

function rows(table, entries) {
  table.tBodies[0].replaceChildren(...entries.map((entry) => {
    const row = element("tr");
    row.append(...entry.map(([text, className]) => element("td", text, className)));
    return row;
  }));
}

function showAlerts({ source, items, watchdog, problem }) {
  const heartbeat = watchdog === null ? "" : watchdog ? "; the watchdog is heard" : "; the watchdog is silent: alerts may not work";
  page("alerts-source").textContent = !source ? problem : `${items.length ? "" : "None. "}From ${source}${heartbeat}`;
  page("alerts").hidden = !items.length;
  rows(page("alerts"), items.map((one) => [
    [one.state, one.state === "firing" ? "bad" : "warn"], [one.name], [one.model], [moment(one.since)], [one.summary],
  ]));
}

function showApplies(applies) {
  rows(page("applies"), applies.map((one) => [
    [String(one.generation)], [one.outcome, one.outcome === "applied" ? "good" : "bad"],
    [moment(one.finished)], [one.models.join(", ")], [one.reason],
  ]));
}

function showProblems(problems) {
  const place = page("problems");
  if (place.dataset.said === problems.join("\n")) return; // say nothing twice to a screen reader
  place.dataset.said = problems.join("\n");
  place.replaceChildren(...problems.map((text) => element("li", text)));
  place.hidden = !problems.length;
}

function show() {
  const bad = view.models.filter((model) => !GOOD.has(model.state)).length;
  page("stack").textContent = view.generation === null ? "" : `${view.stack}, generation ${view.generation}`;
  const overall = view.generation === null ? "nothing is applied" : bad ? `${bad} of ${view.models.length} not ready` : "all ready";
  badge(page("overall"), overall, bad || view.generation === null ? "bad" : "good");
  page("updated").textContent = `live, ${clock(view.at)}`;
  for (const input of document.querySelectorAll("#span input")) input.disabled = input.value !== "" && !view.prometheus;
  page("span").title = view.prometheus ? "" : "longer views need a Prometheus";
  for (const [name, { article }] of cards) if (!view.models.some((model) => model.model === name)) { article.remove(); cards.delete(name); }
  for (const model of view.models) showModel(model);
  showAlerts(view.alerts);
  showApplies(view.applies);
  showProblems([...view.problems, ...(view.alerts.source && view.alerts.problem ? [view.alerts.problem] : [])]);
}

function grow({ at, models }) {
  for (const { model, point } of models) {
    const known = past.models[model] ??= { times: [], lines: {} };
    if (at <= (known.times.at(-1) ?? 0)) continue;
    for (const [name, value] of Object.entries(point)) (known.lines[name] ??= known.times.map(() => null)).push(value);
    known.times.push(at);
    while (known.times[0] < at - LIVE_SECONDS) {
      known.times.shift();
      for (const line of Object.values(known.lines)) line.shift();
    }
  }
}

async function fetchPast() {
  const span = document.querySelector("#span input:checked").value;
  const answer = await fetch(span ? `/api/past?span=${span}` : "/api/past");
  if (!answer.ok) { showProblems([(await answer.text()).trim()]); return; }
  past.models = (await answer.json()).models;
  past.span = span;
  if (view) show();
}

const live = new EventSource("/api/live");
live.addEventListener("message", ({ data }) => {
  view = JSON.parse(data);
  if (past.span === "") grow(view);
  show();
});
live.addEventListener("open", fetchPast);
live.addEventListener("error", () => {
  badge(page("overall"), "no contact", "bad");
  page("updated").textContent = "the dashboard does not answer; trying again";
});
page("span").addEventListener("change", fetchPast);
setInterval(() => { if (past.span) fetchPast(); }, REFETCH_MS);
