// The leaderboard of one protocol: sortable, its cells walked with the arrow keys, every figure with its provenance.

function boardColumns(table) {
  const columns = [{ id: "method", head: "method", text: true, of: (row) => row.method }];
  for (const metric of table.metrics) {
    columns.push({
      id: metric,
      metric,
      head: metricHead(metric),
      up: metricOf(metric).up,
      of: (row) => toNumber(row.figures[metric]?.value ?? null),
    });
  }
  const published = publishedColumns(table);
  columns.push(...published.filter((entry) => entry.published));
  columns.push({ id: "images", head: "images", up: true, of: (row) => Math.max(...Object.values(row.figures).map((f) => f.count)) });
  columns.push({ id: "trained", head: "trained", text: true, of: (row) => trainingText(row) });
  const [some] = table.rows.filter((row) => row.ms_median !== undefined);
  const size = some ? `, ${some.width}\u00a0×\u00a0${some.height}\u00a0px, ${some.device}` : "";
  for (const [cost, { title, unit }] of Object.entries(COSTS)) {
    columns.push({
      id: cost,
      cost,
      head: cost === "ms_median" ? `ms${size}` : `${title}, ${unit}`,
      up: false,
      of: (row) => row[cost] ?? null,
    });
  }
  return [...columns, ...published.filter((entry) => entry.elsewhere)];
}

/** Columns of published figures: same protocol beside ours, others apart with the difference named. */
function publishedColumns(table) {
  const columns = [];
  for (const metric of table.metrics) {
    const same = table.published.filter((entry) => entry.metric === metric && entry.value !== null);
    const find = (row) => same.find((entry) => entry.method === row.method);
    if (!same.length) continue;
    columns.push({
      id: `published ${metric}`,
      published: find,
      metric,
      head: `published ${metricOf(metric).title}${table.simulated ? " (real set)" : ""}`,
      up: metricOf(metric).up,
      of: (row) => find(row)?.value ?? null,
    });
  }
  if (table.published.some((entry) => entry.elsewhere.length)) {
    const find = (row) => {
      const all = table.published.filter((entry) => entry.method === row.method).flatMap((entry) => entry.elsewhere);
      return [...new Map(all.map((entry) => [entry.join("\n"), entry])).values()]; // several kinds of SSIM, one figure
    };
    const text = (row) => find(row).map(([value, metric]) => `${metric} ${value}`).join("; ");
    columns.push({ id: "elsewhere", elsewhere: find, head: "published, other protocol", text: true, of: text });
  }
  return columns;
}

const trainingText = (row) => (row.steps ? `${row.profile ?? ""} ${grouped(row.steps)} steps`.trim() : (row.trained_on ?? "no training"));

function sortedRows(rows, column, descending) {
  const unknown = (value) => value === null || value === "" || Number.isNaN(value);
  const sign = descending ? -1 : 1;
  return [...rows].sort((a, b) => {
    if (a.block !== b.block) return a.block - b.block;
    const [x, y] = [column.of(a), column.of(b)];
    if (unknown(x) || unknown(y)) return unknown(x) - unknown(y); // what is not known stands last, either way
    return sign * (x < y ? -1 : x > y ? 1 : 0);
  });
}

function drawBoard() {
  const table = currentTable();
  const columns = boardColumns(table);
  const column = columns.find((entry) => entry.id === state.sort.column) ?? columns[1];
  const rows = sortedRows(table.rows, column, state.sort.descending);
  const head = make("tr", {}, columns.map((entry) => headCell(entry, entry === column)));
  const body = rows.map((row, index) => {
    const begins = row.block > 0 && index > 0 && rows[index - 1].block !== row.block;
    const line = make("tr", begins ? { class: "block" } : {});
    line.append(...columns.map((entry) => bodyCell(table, row, entry)));
    if (begins) line.firstElementChild.prepend(make("span", { class: "blockhead" }, `${DATA.blocks[row.block]}:`));
    return line;
  });
  const caption = captionOf(table, `${table.rows.length} methods`);
  const grid = make("table", { class: "board", id: "leaderboard" }, caption, make("thead", {}, head), make("tbody", {}, body));
  asGrid(grid, (cell, line) => openImages(line.querySelector("[data-method]").dataset.method, cell.dataset.metric ?? state.metric));
  replace("board", grid);
  replace("table-help", helpText(table));
  replace("notes", notesOf(table));
}

function headCell(column, sorted) {
  const order = sorted ? (state.sort.descending ? "descending" : "ascending") : "none";
  const glyph = make("span", { class: "order", "aria-hidden": "true" }, { none: "", ascending: "▲", descending: "▼" }[order]);
  const button = make("button", { type: "button", class: "sort", "data-column": column.id, onclick: () => sortBy(column) }, column.head, glyph);
  return make("th", { scope: "col", "aria-sort": order, class: column.text ? "left" : "" }, button);
}

function sortBy(column) {
  const { sort } = state;
  sort.descending = sort.column === column.id ? !sort.descending : Boolean(column.up);
  sort.column = column.id;
  drawBoard();
  document.querySelector(`#board [data-column="${CSS.escape(column.id)}"]`).focus();
  announce(`sorted by ${column.head}, ${sort.descending ? "descending" : "ascending"}`);
}

function bodyCell(table, row, column) {
  if (column.id === "method") return methodCell(table, row);
  const cell = make("td", { "data-column": column.id, class: column.text ? "left" : "" });
  if (column.published) fillPublished(cell, table, row, column);
  else if (column.elsewhere) fillElsewhere(cell, row, column);
  else if (column.metric) fillFigure(cell, table, row, column.metric);
  else if (column.cost) {
    cell.append(showCost(row[column.cost], column.cost));
    explain(cell, () => costLines(table, row, column.cost));
  } else {
    cell.append(column.id === "images" ? grouped(column.of(row)) : column.of(row));
    explain(cell, () => provenance(table, row));
  }
  return cell;
}

/** What stands where a method has no figures: nothing, "not run" or "failed". */
function inPlaceOfFigures(row) {
  if (row.status === "ok") return "";
  return row.status.startsWith("not run: ") ? "not run" : "failed";
}

function methodCell(table, row) {
  const cell = make("th", { scope: "row", class: "left", "data-method": row.method });
  cell.append(make("span", { class: "name" }, row.method));
  const state = inPlaceOfFigures(row);
  if (state) cell.append(make("span", { class: state === "failed" ? "bad" : "quiet" }, state));
  cell.addEventListener("click", () => openImages(row.method, state.metric));
  explain(cell, () => provenance(table, row));
  return cell;
}

function fillFigure(cell, table, row, metric) {
  const figure = row.figures[metric];
  explain(cell, () => figureLines(table, row, metric));
  cell.classList.add("figure");
  cell.dataset.metric = metric;
  cell.dataset.method = row.method;
  if (!figure || figure.value === null) {
    cell.append(make("span", { class: "quiet" }, figure?.missing ? "missing" : inPlaceOfFigures(row)));
    return;
  }
  const best = toNumber(figure.value) === bestOf(table, metric);
  const mark = figure.shares && !best;
  cell.append(make(best ? "strong" : "span", {}, showMetric(figure.value, metric)));
  cell.append(make("span", { class: "mark", "aria-hidden": "true" }, mark ? "≈" : ""));
  if (mark) cell.append(make("span", { class: "hidden" }, ", not distinguishable from the best"));
  cell.append(intervalBar(table, figure, metric, best || mark));
}

function bestOf(table, metric) {
  const values = table.rows.filter((row) => row.block < 2).map((row) => row.figures[metric]?.value).filter((v) => v !== null && v !== undefined).map(toNumber);
  return metricOf(metric).up ? Math.max(...values) : Math.min(...values);
}

/** Least and greatest figure of a column, its intervals included. */
function rangeOf(table, metric) {
  const all = table.rows.flatMap((row) => ["low", "value", "high"].map((name) => row.figures[metric]?.[name]));
  const known = all.filter((value) => typeof value === "number");
  return [Math.min(...known), Math.max(...known)];
}

/** The figure as a dot and its 95 % interval as a line, on the scale that the column shares. */
function intervalBar(table, figure, metric, leading) {
  const [low, high] = rangeOf(table, metric);
  const place = (value) => (high > low ? 3 + (94 * (value - low)) / (high - low) : 50);
  const bar = make("span", { class: leading ? "bar leading" : "bar", "aria-hidden": "true" });
  if (typeof figure.low === "number") {
    const line = make("i");
    line.style.left = `${place(figure.low)}%`;
    line.style.width = `${place(figure.high) - place(figure.low)}%`;
    bar.append(line);
  }
  if (typeof figure.value === "number") {
    const dot = make("b");
    dot.style.left = `${place(figure.value)}%`;
    bar.append(dot);
  }
  return bar;
}

function fillPublished(cell, table, row, column) {
  const entry = column.published(row);
  if (!entry) return;
  cell.append(showMetric(entry.value, column.metric));
  explain(cell, () => [
    ["published", withUnit(entry.value, column.metric)],
    ["source", entry.source],
    ["protocol", table.protocol],
    ["measured here", withUnit(row.figures[column.metric]?.value, column.metric)],
    ["known reasons", entry.reasons.join("; ")],
  ]);
}

function fillElsewhere(cell, row, column) {
  const entries = column.elsewhere(row);
  if (!entries.length) return;
  cell.classList.add("apart");
  for (const [value, metric, words] of entries) cell.append(make("div", {}, `${metric} ${value}: `, make("span", { class: "quiet" }, words)));
  explain(cell, () => entries.map(([value, metric, words, source]) => [`${metric} ${value}`, `${words}. ${source}`]));
}

/** One stop of the tab key for the whole body of a table; arrow keys, Home and End move in it, Enter calls `enter`. */
function asGrid(table, enter) {
  table.setAttribute("role", "grid");
  for (const line of table.rows) line.setAttribute("role", "row");
  for (const cell of table.tHead.rows[0].cells) cell.setAttribute("role", "columnheader");
  for (const line of table.tBodies[0].rows) {
    for (const cell of line.cells) {
      cell.setAttribute("role", cell.tagName === "TH" ? "rowheader" : "gridcell");
      focusOf(cell).setAttribute("tabindex", "-1");
    }
  }
  const [first] = table.tBodies[0].rows;
  if (first) focusOf(first.cells[0]).setAttribute("tabindex", "0");
  table.tBodies[0].addEventListener("keydown", (event) => walkCells(event, enter));
}

/** What takes the focus in a cell: its button, or the cell. */
const focusOf = (cell) => cell.querySelector("button") ?? cell;

function walkCells(event, enter) {
  const cell = event.target.closest("td, th");
  const line = cell.parentElement;
  const moves = {
    ArrowRight: () => cell.nextElementSibling,
    ArrowLeft: () => cell.previousElementSibling,
    ArrowDown: () => line.nextElementSibling?.cells[cell.cellIndex],
    ArrowUp: () => line.previousElementSibling?.cells[cell.cellIndex],
    Home: () => line.firstElementChild,
    End: () => line.lastElementChild,
  };
  if ((event.key === "Enter" || event.key === " ") && enter) enter(cell, line);
  else if (event.key in moves) {
    const next = moves[event.key]();
    if (next) {
      event.currentTarget.querySelectorAll('[tabindex="0"]').forEach((other) => other.setAttribute("tabindex", "-1"));
      focusOf(next).setAttribute("tabindex", "0");
      focusOf(next).focus();
    }
  } else return;
  event.preventDefault();
}

function helpText(table) {
  const shared = table.rows.some((row) => Object.values(row.figures).some((figure) => figure.shares !== null));
  const text = "Bold: best mean. Dot and line: mean and 95 % interval, drawn by sequence. Hover a figure, or walk with the arrow keys, for its origin; Enter opens the images.";
  const study = table.metrics.some((metric) => metricOf(metric).study) ? " BT log-odds and odds are scores of a preference study; their interval and ≈ are the study's own." : "";
  return `${text}${shared ? " ≈: not distinguishable from the best." : ""}${study}`;
}

/** What is missing or failed is said at once, what was done besides on request. */
function notesOf(table) {
  const [lacking, besides] = [new Set(), new Set()];
  for (const row of table.rows) {
    for (const [metric, figure] of Object.entries(row.figures)) if (figure.missing) lacking.add(`${metric} is missing: ${figure.missing}`);
    const state = inPlaceOfFigures(row);
    if (state) lacking.add(`${row.method} ${state}: ${row.status.replace(/^not run: /, "")}`);
    if (row.switches) besides.add(`${row.method}: ${row.switches}`);
  }
  const listed = (notes) => make("ul", { class: "quiet" }, [...notes].map((note) => make("li", {}, note)));
  const more = make("details", {}, make("summary", {}, `How the methods were run (${besides.size})`), listed(besides));
  return [lacking.size ? listed(lacking) : null, besides.size ? more : null];
}
