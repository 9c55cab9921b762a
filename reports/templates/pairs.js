// Every method against every other: images won, equal and lost, and whether the difference is more than chance.

function drawPairs() {
  const table = currentTable();
  const lines = table.pairs[state.metric] ?? [];
  replace(
    "pairs-help",
    `${metricOf(state.metric).title}: images on which the method of the row is better / equal / worse than that of the column. ` +
      "Coloured where the difference is more than chance: Wilcoxon's signed-rank test, corrected after Holm for all pairs, below 0.05, " +
      "and the 95 % interval of the mean difference, drawn by sequence, without 0.",
  );
  if (metricOf(state.metric).study) {
    replace("pairs-help", "Scores of a preference study, not of single images: which methods its range test tells apart stands in preference.csv.");
    replace("pairs");
    return;
  }
  if (!lines.length) {
    replace("pairs", make("p", { class: "quiet" }, "No two methods have figures for the same images here."));
    return;
  }
  const names = table.rows.map((row) => row.method).filter((name) => lines.some((line) => line.includes(name)));
  const head = make("tr", {}, make("th", { scope: "col", class: "left" }, "better / equal / worse than"), names.map((name) => make("th", { scope: "col", class: "tall" }, make("span", {}, name))));
  const body = names.map((name) => make("tr", {}, make("th", { scope: "row", class: "left" }, name), names.map((other) => pairCell(lines, name, other))));
  const grid = make("table", { class: "pairs" }, captionOf(table, metricHead(state.metric)), make("thead", {}, head), make("tbody", {}, body));
  asGrid(grid);
  replace("pairs", grid);
}

function pairCell(lines, name, other) {
  const line = lines.find(([a, b]) => (a === name && b === other) || (a === other && b === name));
  if (!line) return make("td", { class: "quiet" }, name === other ? "–" : "");
  const turned = line[0] !== name;
  const [, , images, wins, ties, losses, difference, low, high, p, differs] = line;
  const counts = turned ? [losses, ties, wins] : [wins, ties, losses];
  const sign = turned ? -1 : 1;
  const mean = sign * toNumber(difference);
  const better = (mean > 0) === metricOf(state.metric).up;
  const kind = differs ? (better ? "win" : "loss") : "even";
  const cell = make("td", { class: `pair ${kind}` }, counts.map(grouped).join(" / "));
  if (differs) cell.append(make("span", { class: "hidden" }, better ? ", better" : ", worse"));
  const digits = metricOf(state.metric).digits + 1;
  const ends = low === null ? [] : [sign * low, sign * high].sort((a, b) => a - b);
  explain(cell, () => [
    ["pair", `${name} − ${other}`],
    ["mean difference", signed(mean, digits)],
    ["95 % interval", ends.length ? ends.map((value) => signed(value, digits)).join(" to ") : "none: one sequence"],
    ["p after Holm", p < 0.001 ? p.toExponential(1) : p.toFixed(3)],
    ["verdict", differs === null ? "nothing can be said" : differs ? (better ? "better" : "worse") : "not distinguishable"],
    ["images of both", grouped(images)],
  ]);
  return cell;
}

/** Every table says of which test set it is, and with that whether the set is simulated. */
const captionOf = (table, text) => make("caption", {}, `${table.title}, ${table.protocol}: ${text}`);

function drawMatrix() {
  const { tables, lines } = DATA.matrix;
  const heads = tables.map((place) => {
    const table = DATA.tables[place];
    const first = make("th", { scope: "col" }, make("span", {}, table.title), make("br"), make("span", { class: "quiet" }, `${table.protocol}, ${metricHead(table.metrics[0])}`));
    return first;
  });
  const head = make("tr", {}, make("th", { scope: "col", class: "left" }, "trained on"), make("th", { scope: "col", class: "left" }, "method"), heads);
  const body = lines.map(([trained, method, values]) =>
    make("tr", {}, make("td", { class: "left" }, trained), make("th", { scope: "row", class: "left" }, method), values.map((value, at) => matrixCell(DATA.tables[tables[at]], method, value))),
  );
  const grid = make("table", { class: "matrix" }, make("thead", {}, head), make("tbody", {}, body));
  asGrid(grid);
  replace("matrix", grid);
}

function matrixCell(table, method, value) {
  const row = table.rows.find((entry) => entry.method === method);
  if (!row) return make("td", {}, "");
  const metric = table.metrics[0];
  const missing = inPlaceOfFigures(row) || "missing";
  const cell = make("td", {}, value === null ? make("span", { class: "quiet" }, missing) : showMetric(value, metric));
  explain(cell, () => figureLines(table, row, metric));
  return cell;
}

function drawPublished() {
  const table = currentTable();
  if (!table.published.length) {
    replace("published", make("p", { class: "quiet" }, "No figure of these methods on this test set is among the published ones."));
    return;
  }
  const same = `published, same protocol${table.simulated ? " (real set)" : ""}`;
  const heads = ["method", "metric", "measured", same, "gap", "known reasons", "published under another protocol, and the difference"];
  const head = make("tr", {}, heads.map((text, place) => make("th", { scope: "col", class: [2, 3, 4].includes(place) ? "" : "left" }, text)));
  const body = table.published.map((entry) => {
    const measured = methodRow(entry.method).figures[entry.metric].value;
    const both = measured !== null && entry.value !== null;
    const { digits } = metricOf(entry.metric);
    const beside = make("td", {}, show(entry.value, digits));
    if (entry.value !== null) explain(beside, () => [["source", entry.source], ["protocol", `${table.protocol}: ${table.words}`]]);
    const mine = make("td", {}, show(measured, digits) || "missing");
    explain(mine, () => figureLines(table, methodRow(entry.method), entry.metric));
    const cells = [
      make("th", { scope: "row", class: "left" }, entry.method),
      make("td", { class: "left" }, metricOf(entry.metric).title),
      mine, beside,
      make("td", {}, !both ? "" : table.simulated ? "not comparable" : signed(toNumber(measured) - entry.value, digits)),
      make("td", { class: "left words" }, entry.reasons.join("; ")),
      make("td", { class: "left words" }, entry.elsewhere.map(elsewhereLine)),
    ];
    cells.forEach((cell, place) => cell.setAttribute("data-head", heads[place]));
    return make("tr", {}, cells);
  });
  const caption = captionOf(table, "published figures beside ours");
  const grid = make("table", { class: "published" }, caption, make("thead", {}, head), make("tbody", {}, body));
  asGrid(grid);
  replace("published", make("div", { class: "scroll" }, grid));
}

function elsewhereLine([value, metric, words, source]) {
  return make("div", {}, `${metric} ${value}: ${words} `, make("span", { class: "quiet" }, `(${source})`));
}
