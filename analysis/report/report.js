"use strict";
(() => {
let facts = JSON.parse(document.getElementById("facts").textContent);
const panel = document.getElementById("trial");
const table = document.getElementById("all");
if (!table) return;
const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
const names = heads.map(cell => cell.textContent.trim());
const more = ["reason", "widths", "run it again", "export it"];
const rowOf = index => body.querySelector(`tr[data-index="${index}"]`);
let chosen = null, sorted = null;
window.showTrial = index => {
  const texts = [...rowOf(index).cells].map(cell => cell.textContent);
  chosen = texts[0];
  for (const row of body.rows) row.classList.toggle("chosen", row === rowOf(index));
  if (!panel) return;
  const list = document.createElement("dl");
  [...names, ...more].forEach((name, number) => {
    const value = [...texts, ...facts[index]][number];
    if (!value || number === 0) return;
    const term = document.createElement("dt"), text = document.createElement("dd");
    term.textContent = name;
    const inner = value.startsWith("ofb-ray ") ? document.createElement("code") : text;
    inner.textContent = value;
    if (inner !== text) text.append(inner);
    list.append(term, text);
  });
  const title = document.createElement("h3");
  title.textContent = "Trial " + texts[0];
  panel.replaceChildren(title, list);
};
body.addEventListener("click", event => {
  const row = event.target.closest("tr");
  if (row) { window.showTrial(Number(row.dataset.index)); if (panel) panel.scrollIntoView({block: "nearest"}); }
});
const filter = document.getElementById("filter");
const hide = () => {
  const words = filter.value.toLowerCase();
  for (const row of body.rows) row.hidden = !row.textContent.toLowerCase().includes(words);
};
filter.addEventListener("input", hide);
const scale = {K: 1e3, M: 1e6, G: 1e9};
const number = text => { const found = /^(-?[\d.]+)(?: ([KMG]))?$/.exec(text); return found ? found[1] * (scale[found[2]] || 1) : NaN; };
const sort = () => {
  const down = heads[sorted].dataset.down === "1";
  body.append(...[...body.rows].sort((one, other) => {
    const [a, b] = [one, other].map(row => row.cells[sorted].textContent);
    const order = number(a) - number(b);
    return (Number.isNaN(order) ? a.localeCompare(b, undefined, {numeric: true}) : order) * (down ? -1 : 1);
  }));
};
heads.forEach((head, column) => head.addEventListener("click", () => {
  head.dataset.down = head.dataset.down === "1" ? "" : "1";
  sorted = column;
  sort();
}));
// Other rows in place of these; what the reader has sorted by, looks for and has chosen stays.
window.showTrials = (html, newFacts) => {
  body.innerHTML = html;
  facts = newFacts;
  if (sorted !== null) sort();
  hide();
  const row = [...body.rows].find(each => each.cells[0].textContent === chosen);
  if (row) window.showTrial(Number(row.dataset.index));
};
})();
