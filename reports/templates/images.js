// The images of one method: worst and best, and a list of all of them with what the blurred input scored.

const PAGE = 25;
const list = { order: "worst", filter: "", page: 0 };
const ORDERS = { worst: "worst first", best: "best first", gain: "largest gain first", loss: "largest loss first", name: "by name" };

function openImages(method, metric) {
  state.method = method;
  const figure = methodRow(method).figures[metric];
  if (figure && figure.value !== null && !metricOf(metric).study) state.metric = metric; // a study scores no single image
  list.page = 0;
  drawFrontControls();
  chooseMetric(state.metric);
  closeHint();
  byId("images-title").scrollIntoView({ block: "start" });
  byId("images-title").focus({ preventScroll: true });
  announce(`images of ${method}`);
}

/** Places of the images of the chosen method, with value, the blurred input's value and the gain, in the chosen order. */
function orderedImages() {
  const table = currentTable();
  const values = imageValues(table, state.metric);
  const mine = values[state.method] ?? unscored(table);
  const before = values.identity;
  const sign = metricOf(state.metric).up ? 1 : -1;
  const found = [];
  mine.forEach((value, place) => {
    if (Number.isNaN(value) && values[state.method]) return;
    const input = before ? before[place] : NaN;
    const gain = value === input ? 0 : sign * (value - input);
    found.push({ place, key: keysOf(table)[place], value, input, gain });
  });
  const order = {
    worst: (a, b) => sign * (a.value - b.value),
    best: (a, b) => sign * (b.value - a.value),
    gain: (a, b) => b.gain - a.gain,
    loss: (a, b) => a.gain - b.gain,
    name: (a, b) => a.place - b.place,
  }[list.order];
  return found.sort((a, b) => order(a, b) || a.place - b.place);
}

/** Where a metric could not be computed the images of a method are there to be looked at all the same. */
const unscored = (table) => (keysOf(table).some((_, place) => hasImage(table, state.method, place)) ? keysOf(table).map(() => NaN) : []);

function drawImages() {
  const table = currentTable();
  if (!methodRow(state.method)) state.method = preferredMethod(table);
  const methods = table.rows.filter((row) => row.status === "ok").map((row) => [row.method, row.method]);
  const metrics = table.metrics.filter((id) => table.values[id].methods.length).map((id) => [id, metricOf(id).title]);
  const search = make("input", { type: "search", id: "image-filter", value: list.filter, placeholder: "part of a name" });
  search.addEventListener("input", () => {
    list.filter = search.value;
    list.page = 0;
    drawImageList();
  });
  replace(
    "image-controls",
    makeSelect("method", methods, state.method, (method) => openFromSelect("method", method), "method-choice"),
    metrics.length ? makeSelect("metric", metrics, state.metric, (metric) => openFromSelect("metric", metric), "image-metric-choice") : null,
    makeSelect("order", Object.entries(ORDERS), list.order, (order) => {
      list.order = order;
      list.page = 0;
      drawImageList();
    }, "order-choice"),
    make("label", {}, make("span", {}, "image"), search),
  );
  drawExtremes();
  drawImageList();
}

function openFromSelect(name, value) {
  state[name] = value;
  list.page = 0;
  if (name === "metric") {
    drawFrontControls();
    drawFront();
    drawPairs();
  }
  drawImages();
  byId(name === "method" ? "method-choice" : "image-metric-choice").focus();
}

/** The method shown first: the trained one with the best figure, else the best. */
function preferredMethod(table) {
  const metric = table.metrics[0];
  const known = table.rows.filter((row) => row.figures[metric]?.value !== null && row.figures[metric]);
  const sign = metricOf(metric).up ? -1 : 1;
  const ranked = [...known].sort((a, b) => sign * (toNumber(a.figures[metric].value) - toNumber(b.figures[metric].value)));
  const trained = (rows) => rows.find((row) => row.weights_sha256);
  return (trained(ranked) ?? ranked[0] ?? trained(table.rows) ?? table.rows[0]).method;
}

function drawExtremes() {
  const table = currentTable();
  const kept = list.order;
  list.order = "best";
  const best = orderedImages().filter(({ place }) => hasImage(table, state.method, place));
  list.order = kept;
  if (!best.length) {
    replace("extremes", make("p", { class: "quiet" }, `No images of ${state.method} were kept for this test set.`));
    return;
  }
  if (Number.isNaN(best[0].value)) {
    replace("extremes", make("div", { class: "extreme" }, make("h4", {}, `Images of ${state.method}`), make("div", { class: "thumbs" }, best.slice(0, 6).map((image) => thumb(table, image)))));
    return;
  }
  const half = Math.min(3, Math.ceil(best.length / 2));
  const group = (title, some) =>
    make("div", { class: "extreme" }, make("h4", {}, `${title} of ${state.method}`), make("div", { class: "thumbs" }, some.map((image) => thumb(table, image))));
  replace("extremes", make("div", { class: "extremes" }, group("Worst", best.slice(-half).reverse()), group("Best", best.slice(0, best.length - half).slice(0, half))));
}

function thumb(table, image) {
  const picture = make("img", { loading: "lazy", decoding: "async", alt: "", src: imageSource(table, state.method, image.place) });
  const words = Number.isNaN(image.value) ? "" : `${withUnit(image.value, state.metric)}${Number.isNaN(image.input) ? "" : `, blurred ${showMetric(image.input, state.metric)}`}`;
  const button = make("button", { type: "button", class: "thumb", "aria-label": `Compare ${image.key} ${words}`.trim() }, picture, make("span", { class: "key" }, image.key), make("span", {}, words));
  button.addEventListener("click", () => openViewer(image.place));
  return button;
}

function drawImageList() {
  const table = currentTable();
  const wanted = list.filter.trim().toLowerCase();
  const all = orderedImages().filter(({ key }) => key.toLowerCase().includes(wanted));
  if (!all.length && !wanted) {
    replace("image-list");
    return;
  }
  const pages = Math.max(1, Math.ceil(all.length / PAGE));
  list.page = Math.min(list.page, pages - 1);
  const shown = all.slice(list.page * PAGE, (list.page + 1) * PAGE);
  const { digits } = metricOf(state.metric);
  const head = make("tr", {}, ["image", state.method, "blurred input", "gain"].map((text, place) => make("th", { scope: "col", class: place ? "" : "left" }, text)));
  const body = shown.map((image) => {
    const button = make("button", { type: "button", class: "link", onclick: () => openViewer(image.place) }, image.key);
    const gain = Number.isNaN(image.gain) ? "" : signed(metricOf(state.metric).up ? image.gain : -image.gain, digits);
    const kind = image.gain > 0 ? "win" : image.gain < 0 ? "loss" : "";
    const line = [
      make("th", { scope: "row", class: "left" }, button),
      make("td", {}, Number.isNaN(image.value) ? "" : show(image.value, digits)),
      make("td", {}, Number.isNaN(image.input) ? "" : show(image.input, digits)),
      make("td", { class: kind }, gain),
    ];
    explain(line[1], () => imageLines(table, image, state.method, image.value));
    explain(line[2], () => imageLines(table, image, "identity", image.input));
    explain(line[3], () => [["gain", `${state.method} − blurred input`], ...imageLines(table, image, state.method, image.value)]);
    return make("tr", {}, line);
  });
  const caption = captionOf(table, `${metricHead(state.metric)} of ${grouped(all.length)} images, ${ORDERS[list.order]}`);
  const turn = (text, step, off) => make("button", { type: "button", disabled: off, onclick: () => turnPage(step) }, text);
  const first = list.page * PAGE + 1;
  const pager = make("div", { class: "pager" }, turn("Previous", -1, list.page === 0), make("span", {}, all.length ? `${grouped(first)} to ${grouped(first + shown.length - 1)} of ${grouped(all.length)}` : "no image of this name"), turn("Next", 1, list.page >= pages - 1));
  const grid = make("table", { class: "images" }, caption, make("thead", {}, head), make("tbody", {}, body));
  asGrid(grid);
  replace("image-list", make("div", { class: "scroll" }, grid), pager);
}

/** Where one per-image figure comes from. */
function imageLines(table, image, method, value) {
  const row = methodRow(method);
  if (!row || Number.isNaN(value)) return [[metricOf(state.metric).title, "not scored here"]];
  return [["image", image.key], [metricOf(state.metric).title, withUnit(value, state.metric)], ["method", method], ...provenance(table, row)];
}

function turnPage(step) {
  list.page += step;
  drawImageList();
  const buttons = document.querySelectorAll("#image-list .pager button");
  const wanted = buttons[step > 0 ? 1 : 0];
  (wanted.disabled ? buttons[step > 0 ? 0 : 1] : wanted).focus();
}
