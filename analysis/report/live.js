(() => {
// Ask the server that made this page for what is new, and put it into the page; what the reader has chosen stays.
const EVERY = 2000, SLOW = 10000;  // milliseconds between two questions; while the server does not answer
const line = document.getElementById("live"), plot = document.getElementById("plot");
const tags = {}, wanted = {}, shown = {};
let shape = null, version = null, seenReport = null, have = {}, timer = null, asking = false;

// The answer to a path, null where it is the one that we have.
const ask = async path => {
  const answer = await fetch(path, {headers: tags[path] ? {"If-None-Match": tags[path]} : {}, cache: "no-store"});
  if (answer.status === 304) return null;
  if (!answer.ok) throw new Error(`${answer.status}: ${(await answer.text()).slice(0, 300)}`);
  tags[path] = answer.headers.get("ETag");
  return answer.json();
};

// Text that the reader is marking is not taken away; it is replaced at the next question.
const marked = part => {
  const selection = getSelection();
  return selection && !selection.isCollapsed && part.contains(selection.anchorNode);
};
const renew = () => {
  for (const [name, html] of Object.entries(wanted)) {
    const part = document.querySelector(`[data-part="${name}"]`);
    if (!part || shown[name] === html || marked(part)) continue;
    const place = each => (each.closest("[data-trial]")?.dataset.trial || "") + "/" + each.tagName + "/" +
      (each.querySelector("summary") || each.closest("details")?.querySelector("summary"))?.textContent;
    const open = new Set([...part.querySelectorAll("details[open]")].map(place));
    const moved = new Map([...part.querySelectorAll("pre, .scroll")].map((each, n) =>
      [place(each) + n, [each.scrollLeft, each.scrollTop, each.scrollTop + each.clientHeight >= each.scrollHeight - 4]]));
    part.innerHTML = html;
    shown[name] = html;
    for (const each of part.querySelectorAll("details")) each.open = open.has(place(each));
    [...part.querySelectorAll("pre, .scroll")].forEach((each, n) => {
      const [left, top, end] = moved.get(place(each) + n) || [0, 0, each.matches("[data-trial] pre")];
      each.scrollLeft = left;
      each.scrollTop = end && each.matches("[data-trial] pre") ? each.scrollHeight : top;
    });
    for (const each of part.querySelectorAll("[data-trial] details")) each.addEventListener("toggle", () => {
      const log = each.querySelector("pre");
      if (each.open && log.scrollTop === 0) log.scrollTop = log.scrollHeight;
    });
  }
};

// Bokeh: `item` is a document made by the same code as the one that is seen. Where both consist of the same models,
// values are moved into those that are seen; else the figure is made anew with the reader's choices.
const isModel = value => Array.isArray(value) ? value.some(isModel) : value?.document !== undefined;
const named = (doc, type) => [...doc._all_models.values()].filter(each => each.type === type && /^live-/.test(each.name));
const seen = () => Bokeh.documents[0];
const chosenIn = source => new Set(source.selected.indices.map(index => source.data.name?.[index]));
const COPIED = {FixedTicker: ["ticks"], BoxAnnotation: ["left", "right", "top", "bottom"], LegendItem: ["label"],
                LinearAxis: ["axis_label"], Select: ["options"]};
const follow = async () => {
  for (const choice of named(seen(), "Select"))
    for (const script of choice.js_property_callbacks["change:value"] || []) await script.execute(choice);
};
const move = async item => {
  const doc = seen().constructor.from_json(item.doc);
  const pairs = type => named(doc, type).map(each => [seen().get_model_by_name(each.name), each]);
  for (const [type, fields] of Object.entries(COPIED))
    for (const [old, each] of pairs(type)) for (const field of fields)
      if (!isModel(each[field])) old[field] = each[field];  // an end of a box may be a model, that of the frame
  for (const [old, each] of [...pairs("CustomJS"), ...pairs("CustomJSTickFormatter")])
    old.args = Object.fromEntries(Object.entries(each.args).map(([key, value]) =>
      [key, isModel(value) ? old.args[key] : value]));
  const [across, up] = named(seen(), "Select").map(each => each.value);
  for (const [old, each] of pairs("ColumnDataSource")) {
    const chosen = chosenIn(old), data = {...each.data};
    if (data.x && data[across]) { data.x = data[across]; data.y = data[up]; }
    old.data = data;
    if (chosen.size) old.selected.indices = data.name.flatMap((name, index) => chosen.has(name) ? [index] : []);
  }
  await follow();
};
const choices = () => {
  if (shape === null) return null;
  const figure = Bokeh.index.query_one(view => view.model.type === "Figure").model;
  const hidden = figure.below.filter(each => each.type === "Legend").flatMap(legend => legend.items)
    .filter(each => each.renderers.some(one => !one.visible)).map(legendName);
  const range = each => each.have_updated_interactively ? [each.start, each.end] : null;
  return {values: named(seen(), "Select").map(each => each.value), hidden, ranges: [range(figure.x_range), range(figure.y_range)]};
};
const legendName = item => String(item.label.value ?? item.label).replace(/ \(\d+( trials)?\)$/, "");
const embed = async item => {
  const kept = choices();
  for (const doc of [...Bokeh.documents]) {
    for (const root of doc.roots()) Bokeh.index.get_by_id(root.id)?.remove();
    Bokeh.documents.splice(Bokeh.documents.indexOf(doc), 1);
  }
  plot.replaceChildren();
  await Bokeh.embed.embed_item(item, plot);
  if (!kept) return;
  const figure = Bokeh.index.query_one(view => view.model.type === "Figure").model;
  named(seen(), "Select").forEach((each, number) => {
    if (each.options.some(([value]) => value === kept.values[number])) each.value = kept.values[number];
  });
  await follow();
  for (const legend of figure.below.filter(each => each.type === "Legend")) for (const each of legend.items)
    if (kept.hidden.includes(legendName(each))) for (const one of each.renderers) one.visible = false;
  [figure.x_range, figure.y_range].forEach((range, number) => {
    if (!kept.ranges[number]) return;
    range.have_updated_interactively = true;  // from now on new marks do not move it
    [range.start, range.end] = kept.ranges[number];
  });
};
const draw = async report => {
  if (report.plot === null) {
    if (!shape) plot.firstElementChild.textContent = "No trial has a measured subnet yet.";
    return;
  }
  if (shape === report.shape) await move(report.plot); else await embed(report.plot);
  shape = report.shape;
};

const say = (text, lost) => { if (line.textContent !== text) line.textContent = text; line.classList.toggle("lost", lost); };
// Pictures take seconds: nothing else waits for them.
let drawing = false;
const drawPictures = async () => {
  if (drawing || have.pictures === version) return;
  drawing = true;
  try {
    const drawn = await ask("pictures.json");
    if (drawn) { wanted.pictures = drawn.html; version = drawn.version; renew(); }
  } catch { delete tags["pictures.json"]; }
  drawing = false;
};
const look = async () => {
  const live = await ask("live.json");
  if (live) { wanted.running = live.running; have = live; }
  if (have.report !== seenReport) {
    const report = await ask("report.json");
    if (report) {
      Object.assign(wanted, report.parts);
      document.title = report.title + ": live report";
      window.showTrials(report.rows, report.facts);
      await draw(report);
      seenReport = report.version;
    }
  }
  renew();
  drawPictures();
  say(have.said, have.lost);
};
const tick = async () => {
  if (asking || document.hidden) return;
  asking = true;
  clearTimeout(timer);
  let pause = EVERY;
  try { await look(); } catch (error) {
    pause = SLOW;
    for (const path of Object.keys(tags)) delete tags[path];
    say(`No answer from ofb_ray (${error.message}): start the command again; this page stays as it is until then.`, true);
  }
  asking = false;
  timer = setTimeout(tick, pause);
};
document.addEventListener("visibilitychange", tick);
tick();
})();
