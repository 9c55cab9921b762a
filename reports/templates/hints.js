// Provenance of every figure: one hint beside the pointer or the focused cell. Escape hides it; the pointer may enter it.

const hint = { owner: null, timer: 0 };

/** Give an element a hint, made when it is first needed. lines(): [[name, text], ...]. */
function explain(element, lines) {
  element.addEventListener("pointerenter", (event) => {
    if (event.pointerType === "mouse") openHint(element, lines);
  });
  element.addEventListener("pointerleave", closeSoon);
  element.addEventListener("focus", () => openHint(element, lines));
  element.addEventListener("blur", closeHint);
  if (element.tagName === "TD") element.addEventListener("click", () => openHint(element, lines)); // a tap may not focus
}

function openHint(element, lines) {
  clearTimeout(hint.timer);
  closeHint();
  hint.owner = element;
  const box = byId("hint");
  const list = make("dl");
  for (const [name, text] of lines()) {
    if (text !== "" && text !== undefined && text !== null) list.append(make("dt", {}, name), make("dd", {}, String(text)));
  }
  box.replaceChildren(list);
  box.hidden = false;
  element.setAttribute("aria-describedby", "hint");
  placeHint(element, box);
}

function placeHint(element, box) {
  const around = element.getBoundingClientRect();
  const { width, height } = box.getBoundingClientRect();
  const screen = { width: document.documentElement.clientWidth, height: window.innerHeight };
  const left = Math.min(Math.max(8, around.left), screen.width - width - 8);
  const below = around.bottom + 6;
  const fits = below + height < screen.height || around.top < height + 12;
  box.style.left = `${Math.max(8, left)}px`;
  box.style.top = `${fits ? Math.min(below, Math.max(8, screen.height - height - 8)) : around.top - height - 6}px`;
}

function closeSoon() {
  clearTimeout(hint.timer);
  hint.timer = setTimeout(closeHint, 150);
}

function closeHint() {
  clearTimeout(hint.timer);
  hint.owner?.removeAttribute("aria-describedby");
  hint.owner = null;
  byId("hint").hidden = true;
}

function startHints() {
  const box = byId("hint");
  box.addEventListener("pointerenter", () => clearTimeout(hint.timer));
  box.addEventListener("pointerleave", closeSoon);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") closeHint();
  });
  window.addEventListener("scroll", () => hint.owner && placeHint(hint.owner, box), { passive: true, capture: true });
}

/** What every figure of a method has in common: where it comes from. */
function provenance(table, row) {
  return [
    ["test set", table.title],
    ["protocol", `${table.protocol}: ${table.words}`],
    ["trained on", row.trained_on ?? "no training"],
    ["training", trainingOf(row)],
    ["weights sha256", row.weights_sha256],
    ["features of", row.feature_net],
    ["done besides", row.switches],
    ["status", row.status === "ok" ? "" : row.status],
    ["commit", row.commit],
    ["device", deviceOf(row)],
    ["command", row.command],
  ];
}

const trainingOf = (row) =>
  [row.profile && `profile ${row.profile}`, row.steps && `${grouped(row.steps)} steps`].filter(Boolean).join(", ");

const deviceOf = (row) => (row.device ? `${row.device}${row.threads ? `, ${row.threads} threads` : ""}` : "");

function figureLines(table, row, metric) {
  const figure = row.figures[metric] ?? {};
  const { title, up } = metricOf(metric);
  const lines = [[title, figure.missing ? `missing: ${figure.missing}` : withUnit(figure.value, metric)]];
  if (figure.value !== null && figure.value !== undefined) {
    lines.push(["better", up ? "higher" : "lower"]);
    const without = metricOf(metric).study ? "none" : "none: one sequence, or an infinite value";
    lines.push(["95 % interval", figure.low === null ? without : intervalOf(figure, metric)]);
    lines.push(["images", grouped(figure.count)]);
    if (figure.votes !== undefined) lines.push(["votes", grouped(figure.votes)]);
    if (figure.shares !== null) lines.push(["against the best", figure.shares ? "not distinguishable" : "worse"]);
  }
  return [...lines, ...provenance(table, row)];
}

const intervalOf = (figure, metric) => `${showMetric(figure.low, metric)} to ${showMetric(figure.high, metric)}`;

function costLines(table, row, cost) {
  const { title, unit } = COSTS[cost];
  const size = row.width ? `${row.width} × ${row.height} px` : "";
  const lines = [[title, row[cost] === undefined ? "not measured" : `${showCost(row[cost], cost)} ${unit}`]];
  if (cost !== "params_m") lines.push(["image size", size]);
  if (cost === "ms_median") lines.push(["spread", row.ms_iqr === undefined ? "" : `${row.ms_iqr} ms between the quartiles`]);
  if (cost === "ms_median") lines.push(["peak memory", row.peak_mb === undefined ? "" : `${row.peak_mb} MB`]);
  return [...lines, ...provenance(table, row)];
}
