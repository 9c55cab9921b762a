// Reading the data, making elements, numbers in words, colours.

const DATA = JSON.parse(document.getElementById("data").textContent);
const STEPS = { unknown: 0xffff, infinite: 0xfffe };
const COSTS = {
  ms_median: { title: "latency", unit: "ms", digits: 0 },
  params_m: { title: "parameters", unit: "M", digits: 2 },
  macs_g: { title: "MACs", unit: "G", digits: 2 },
};
const state = { table: 0, method: "", metric: "", cost: "ms_median", sort: { column: "", descending: true } };

const byId = (id) => document.getElementById(id);
const currentTable = () => DATA.tables[state.table];
const metricOf = (id) => DATA.metrics[id];
const methodRow = (name) => currentTable().rows.find((row) => row.method === name);

/** An element with attributes ("on..." are listeners) and children; text children are never read as HTML. */
function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function makeSvg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

function replace(id, ...children) {
  byId(id).replaceChildren(...children.flat().filter(Boolean)); // a missing child is left out
}

/** A figure of the data as a number: "inf" is how JSON carries infinity. */
const toNumber = (value) => (value === "inf" ? Infinity : value);

function show(value, digits) {
  if (value === null || value === undefined) return "";
  const number = toNumber(value);
  if (!Number.isFinite(number)) return "inf";
  return number.toFixed(digits).replace("-", "−");
}

const grouped = (count) => count.toLocaleString("en-US");
const showCost = (value, cost) => show(value, value < 10 ? 2 : COSTS[cost].digits); // a blurred input "restored" in 0.01 ms
const showMetric = (value, id) => show(value, metricOf(id).digits);
const signed = (value, digits) => (toNumber(value) > 0 ? "+" : "") + show(value, digits);

function withUnit(value, id) {
  const unit = metricOf(id).unit;
  return showMetric(value, id) + (unit ? ` ${unit}` : "");
}

/** Titles of a metric with its unit and an arrow towards better values. */
function metricHead(id) {
  const { title, unit, up } = metricOf(id);
  return `${title}${unit ? `, ${unit}` : ""} ${up ? "↑" : "↓"}`;
}

function bytesOf(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

const decoded = new Map(); // what was unpacked, by table and metric

/** Per-image values: {method: Float64Array in the order of keysOf(table)}; NaN where an image was not scored. */
function imageValues(table, metric) {
  const name = `${DATA.tables.indexOf(table)} ${metric}`;
  if (!decoded.has(name)) {
    const { methods, low, step, data } = table.values[metric];
    const codes = new Uint16Array(bytesOf(data).buffer);
    const count = methods.length ? codes.length / methods.length : 0;
    const values = {};
    methods.forEach((method, place) => {
      values[method] = Float64Array.from(codes.subarray(place * count, (place + 1) * count), (code) => {
        if (code === STEPS.unknown) return NaN;
        return code === STEPS.infinite ? Infinity : low + code * step;
      });
    });
    decoded.set(name, values);
  }
  return decoded.get(name);
}

function keysOf(table) {
  table.flat ??= table.keys.flatMap(([folder, names]) => names.map((name) => (folder ? `${folder}/${name}` : name)));
  return table.flat;
}

/** Whether the image of a method ("_blur", "_sharp" or a name) and key was kept. */
function hasImage(table, method, place) {
  const have = table.images.have[method];
  if (have === undefined || have === true) return have === true;
  table.bits ??= {};
  table.bits[method] ??= bytesOf(have);
  return ((table.bits[method][place >> 3] >> (place & 7)) & 1) === 1;
}

function imageSource(table, method, place) {
  const path = `${table.images.folder}/${method}/${keysOf(table)[place]}.png`;
  return path.split("/").map(encodeURIComponent).join("/");
}

/** The blurred input of an image, under whichever name it was kept; "" where it was not. */
const blurredOf = (table, place) => ["identity", "_blur"].find((name) => hasImage(table, name, place)) ?? "";

const imageTitle = (name) => ({ _blur: "blurred input", _sharp: "sharp", identity: "blurred input" })[name] ?? name;

function announce(text) {
  byId("status").textContent = text;
}

/** A labelled <select>; options are [value, text]. */
function makeSelect(label, options, chosen, change, id) {
  const select = make("select", { id, onchange: () => change(select.value) });
  for (const [value, text] of options) select.append(new Option(text, value, false, value === chosen));
  return make("label", {}, make("span", {}, label), select);
}

function startTheme() {
  const button = byId("theme");
  const names = ["auto", "light", "dark"];
  const stored = () => {
    try {
      return localStorage.getItem("theme") ?? "auto";
    } catch {
      return "auto"; // a browser may forbid storage to files
    }
  };
  const apply = (name) => {
    if (name === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    button.textContent = `Theme: ${name}`;
    button.setAttribute("aria-label", `Theme: ${name}. Press for ${names[(names.indexOf(name) + 1) % 3]}`);
    button.dataset.name = name;
  };
  button.addEventListener("click", () => {
    const next = names[(names.indexOf(button.dataset.name) + 1) % 3];
    try {
      localStorage.setItem("theme", next);
    } catch {
      // the choice then holds until the page is closed
    }
    apply(next);
  });
  apply(names.includes(stored()) ? stored() : "auto");
}
