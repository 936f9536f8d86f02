// Draws the panels; switches designs; zooms all panels of a source in time; tells values.
"use strict";
const charts = JSON.parse(document.getElementById("charts").textContent);
const views = new Map();
const state = { off: new Set(), zoom: new Map() };
const tip = document.getElementById("tip");
const dark = matchMedia("(prefers-color-scheme: dark)");
let printing = false;
// On paper: two charts a page; and finer pixels, of which a printer has more.
const PAPER_HEIGHT = 0.8, PAPER_SCALE = 3;
// Pixels of a vertical axis; and of a label of an axis of time with the gap to the next.
const AXIS = 50, TIME_LABEL = 60;

function element(tag, attributes, text) {
  const made = Object.assign(document.createElement(tag), attributes);
  if (text !== undefined) made.textContent = text;
  return made;
}

function config() {
  const night = dark.matches && !printing;
  const ink = night ? "#c9d1d9" : "#3d444d", line = night ? "#30363d" : "#e3e6ea";
  const font = "system-ui, -apple-system, Segoe UI, Roboto, DejaVu Sans, sans-serif";
  return {
    background: "transparent", font, view: { stroke: null },
    axis: { labelColor: ink, titleColor: ink, gridColor: line, domainColor: line, tickColor: line,
      labelFontSize: 11, titleFontSize: 11, titleFontWeight: "normal", labelOverlap: true },
    legend: { labelColor: ink, titleColor: ink, labelFontSize: 11, titleFontSize: 11,
      titleFontWeight: "normal" },
  };
}

// Columns of numbers to the rows that Vega takes.
function rowsOf(data) {
  const names = Object.keys(data);
  return data[names[0]].map((_, i) => Object.fromEntries(names.map((n) => [n, data[n][i]])));
}

function spanOf(panel) {
  return state.zoom.get(panel.source) ?? [0, panel.end];
}

function isOn(design) {
  return design === null || !state.off.has(design);
}

function hasShown(panel) {
  return isOn(panel.design) && panel.tops.some(([design]) => isOn(design));
}

// Where the scale ends that a chart's panels share: at the most of the designs that are shown.
function topOf(panel) {
  const beside = charts.filter((one) => one.figure === panel.figure);
  const tops = beside.flatMap((one) => one.tops).filter(([design]) => isOn(design));
  return Math.max(0, ...tops.map(([, most]) => most)) || 1;
}

function ticksFor(place) {
  return Math.max(2, Math.min(8, Math.floor((place.clientWidth - AXIS) / TIME_LABEL)));
}

async function draw(panel) {
  const place = document.getElementById(panel.id);
  if (!place.clientWidth) return;
  panel.turn = (panel.turn ?? 0) + 1;
  const turn = panel.turn;
  const spec = { ...panel.spec, width: place.clientWidth,
    height: Math.round(panel.height * (printing ? PAPER_HEIGHT : 1)),
    autosize: { type: "fit", contains: "padding" }, datasets: { rows: rowsOf(panel.data) } };
  const canvas = element("div", {});
  const renderer = panel.hover.kind === "cells" ? "canvas" : "svg";
  const options = { mode: "vega-lite", config: config(), renderer, actions: false, tooltip: false,
    hover: false, defaultStyle: false };
  const { view } = await vegaEmbed(canvas, spec, options);
  if (turn !== panel.turn) return view.finalize(); // it was drawn anew meanwhile
  views.get(panel.id)?.view.finalize();
  views.set(panel.id, { view, panel, place });
  place.replaceChildren(canvas, element("div", { className: "cursor" }),
    element("div", { className: "chosen" }));
  apply(panel.id);
  if (!printing || renderer === "svg") return;
  const fine = await view.toCanvas(PAPER_SCALE);
  if (turn === panel.turn) place.replaceChildren(fine);
}

// Give a view the zoom and the switches.
function apply(id) {
  const { view, panel, place } = views.get(id);
  for (const param of panel.spec.params) {
    const i = /^d(\d+)$/.exec(param.name)?.[1];
    if (i !== undefined) view.signal(param.name, !state.off.has(Number(i)));
    else if (param.name === "top") view.signal("top", topOf(panel));
    else if (param.name === "ticks") view.signal("ticks", ticksFor(place));
    else if (param.name === "t0") view.signal("t0", spanOf(panel)[0]);
    else if (param.name === "t1") view.signal("t1", spanOf(panel)[1]);
  }
  view.run();
}

async function drawAll() {
  for (const panel of charts) {
    await draw(panel);
    await new Promise((done) => setTimeout(done));
  }
  document.documentElement.dataset.drawn = "yes";
}

// ------------------------------------------------------------------------------- switches

function showDesigns() {
  for (const box of document.querySelectorAll("input[data-switch]"))
    box.checked = !state.off.has(Number(box.dataset.switch));
  for (const one of document.querySelectorAll("[data-design]"))
    one.hidden = state.off.has(Number(one.dataset.design));
  for (const figure of document.querySelectorAll("figure"))
    figure.hidden = !charts.some((panel) => panel.figure === figure.id && hasShown(panel));
  for (const bar of document.querySelectorAll(".bar"))
    bar.nextElementSibling.hidden = bar.querySelector("input[data-switch]:checked") !== null;
  for (const panel of charts)
    if (views.has(panel.id)) apply(panel.id);
    else draw(panel);
}

document.addEventListener("change", (event) => {
  const design = event.target.dataset?.switch;
  if (design === undefined) return;
  if (event.target.checked) state.off.delete(Number(design));
  else state.off.add(Number(design));
  showDesigns();
});

// ----------------------------------------------------------------------------------- zoom

function zoom(source, from, to) {
  const timed = charts.find((panel) => panel.source === source && panel.timed), end = timed.end;
  const whole = from <= 0 && to >= end;
  if (whole) state.zoom.delete(source);
  else state.zoom.set(source, [Math.max(0, from), Math.min(end, to)]);
  for (const [id, { panel }] of views)
    if (panel.source === source && panel.timed) apply(id);
  const [a, b] = state.zoom.get(source) ?? [0, end];
  const bar = document.querySelector(`.bar[data-source="${source}"]`);
  bar.querySelector("output").textContent = `${time(timed, a)} to ${time(timed, b)}`;
  bar.querySelector(".from").value = Math.round((1000 * a) / end);
  bar.querySelector(".to").value = Math.round((1000 * b) / end);
  bar.querySelector("button").disabled = whole;
}

// A time in s, in the unit of the panel's axis.
function time(panel, t) {
  return `${Number((t * panel.perSecond).toPrecision(4))} ${panel.timeUnit}`;
}

for (const bar of document.querySelectorAll(".bar")) {
  const source = Number(bar.dataset.source);
  const panel = charts.find((one) => one.source === source);
  const [from, to] = [bar.querySelector(".from"), bar.querySelector(".to")];
  const slid = (moved) => {
    if (Number(from.value) >= Number(to.value))
      if (moved === from) from.value = Number(to.value) - 1;
      else to.value = Number(from.value) + 1;
    zoom(source, (from.value * panel.end) / 1000, (to.value * panel.end) / 1000);
  };
  from.addEventListener("input", () => slid(from));
  to.addEventListener("input", () => slid(to));
  bar.querySelector("button").addEventListener("click", () => zoom(source, 0, panel.end));
  zoom(source, 0, panel.end);
}

// -------------------------------------------------------------------------------- pointer

// Where a pointer is on a panel: in the plot's pixels, and in its data.
function pointAt(event) {
  const place = event.target.closest?.(".chart");
  const shown = place && views.get(place.id);
  if (!shown) return null;
  const box = place.getBoundingClientRect(), view = shown.view;
  const left = view.origin()[0] + view.padding().left, top = view.origin()[1] + view.padding().top;
  const x = event.clientX - box.left - left, y = event.clientY - box.top - top;
  if (x < 0 || y < 0 || x > view.signal("width") || y > view.signal("height")) return null;
  return { ...shown, pixel: x, left, top, high: view.signal("height"),
    x: view.scale("x").invert(x), y: view.scale("y").invert(y) };
}

function number(value) {
  if (value > 0 && value < 0.001) return "less than 0.001";
  return Math.abs(value) >= 1000 || Number.isInteger(value)
    ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
}

function linesAt({ panel, x }) {
  const t = panel.data.t;
  let i = t.findLastIndex((one) => one <= x);
  if (i < 0) i = 0;
  const told = panel.hover.series.filter((one) => isOn(one.design)).map((one) => {
    const [low, mid, high] = ["l", "m", "h"].map((k) => panel.data[k + one.key]?.[i]);
    const band = !panel.hover.stacked && low !== undefined && low !== high;
    const range = band ? ` (${number(low)} to ${number(high)})` : "";
    return [one.swatch, one.label, number(mid) + range];
  });
  if (panel.hover.stacked) told.reverse();
  return [`${time(panel, x)}, ${panel.hover.unit}`, told];
}

function cellAt({ panel, x, y }) {
  const d = panel.data, h = panel.hover;
  const where = panel.timed ? time(panel, x) : h.x[Math.floor(x)];
  const i = d.x.findIndex((_, k) => d.x[k] <= x && x < d.x2[k] && d.y[k] <= y && y < d.y2[k]);
  const told = h.mixed
    ? [["", "held by", i < 0 ? "nobody: free"
        : `users ${Math.round(100 - 100 * d.v0[i])} %, magazines ${Math.round(100 * d.v0[i])} %`]]
    : [["", h.names[0], number(i < 0 ? 0 : d.v0[i])]];
  return [`${where}, ${h.y[Math.floor(y)]}`, told];
}

function hide() {
  tip.hidden = true;
  for (const line of document.querySelectorAll(".cursor")) line.style.display = "none";
}

function showCursors(point) {
  for (const { view, panel, place } of views.values()) {
    const line = place.querySelector(".cursor");
    if (!line) continue;
    const same = panel.timed && point.panel.timed && panel.source === point.panel.source;
    line.style.display = same ? "block" : "none";
    if (!same) continue;
    line.style.left = `${view.origin()[0] + view.padding().left + view.scale("x")(point.x)}px`;
    line.style.top = `${view.origin()[1] + view.padding().top}px`;
    line.style.height = `${view.signal("height")}px`;
  }
}

let dragged = null;

// What is under the pointer is told, also when the page has moved below it.
function tell(event) {
  const point = pointAt(event);
  if (!point) return hide();
  const [head, told] = point.panel.hover.kind === "cells" ? cellAt(point) : linesAt(point);
  tip.replaceChildren(element("b", {}, head));
  for (const [swatch, label, value] of told) {
    const row = element("div", {});
    if (swatch) row.append(element("i", { style: swatch }));
    row.append(element("span", {}, label), element("em", {}, value));
    tip.append(row);
  }
  tip.hidden = false;
  const right = event.clientX + 16 + tip.offsetWidth > innerWidth;
  tip.style.left = `${Math.max(4, right ? event.clientX - tip.offsetWidth - 12 : event.clientX + 16)}px`;
  tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8))}px`;
  showCursors(point);
}

let rests = null;
document.addEventListener("pointermove", (event) => {
  const { clientX, clientY, pointerType } = event;
  rests = pointerType === "touch" ? null : { clientX, clientY };
  if (dragged) markChosen(event);
  else tell(event);
});
document.addEventListener("scroll", () => {
  const target = rests && document.elementFromPoint(rests.clientX, rests.clientY);
  if (target && !dragged) tell({ ...rests, target });
  else hide();
}, { passive: true });
document.addEventListener("pointerleave", () => {
  rests = null;
  hide();
});

function markChosen(event) {
  const box = dragged.place.getBoundingClientRect();
  const x = Math.max(0, Math.min(event.clientX - box.left - dragged.left, dragged.view.signal("width")));
  const [a, b] = [Math.min(x, dragged.pixel), Math.max(x, dragged.pixel)];
  const chosen = dragged.place.querySelector(".chosen");
  Object.assign(chosen.style, { display: "block", left: `${a + dragged.left}px`, width: `${b - a}px`,
    top: `${dragged.top}px`, height: `${dragged.high}px` });
  dragged.span = [a, b];
}

// A finger scrolls the page; a mouse or pen chooses a stretch of time.
document.addEventListener("pointerdown", (event) => {
  const point = event.pointerType !== "touch" && event.button === 0 ? pointAt(event) : null;
  if (!point?.panel.timed) return;
  dragged = point;
  event.preventDefault();
});
document.addEventListener("pointerup", () => {
  const was = dragged;
  dragged = null;
  if (!was) return;
  was.place.querySelector(".chosen").style.display = "none";
  if (!was.span || was.span[1] - was.span[0] < 6) return;
  const x = was.view.scale("x");
  zoom(was.panel.source, x.invert(was.span[0]), x.invert(was.span[1]));
});
document.addEventListener("dblclick", (event) => {
  const point = pointAt(event);
  if (point?.panel.timed) zoom(point.panel.source, 0, point.panel.end);
});

// ------------------------------------------------------------------------ theme, size, paper

let width = innerWidth, later;
addEventListener("resize", () => {
  if (innerWidth === width) return;
  width = innerWidth;
  clearTimeout(later);
  later = setTimeout(() => charts.forEach(draw), 150);
});
dark.addEventListener("change", () => charts.forEach(draw));

// Drawn by the time the page is printed: drawing waits for nothing but other pieces of itself.
let opened = [];
addEventListener("beforeprint", () => {
  printing = true;
  document.documentElement.classList.add("paper");
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const one of opened) one.open = true;
  charts.forEach(draw);
});
addEventListener("afterprint", () => {
  printing = false;
  document.documentElement.classList.remove("paper");
  for (const one of opened) one.open = false;
  charts.forEach(draw);
});
drawAll();
