// Tabs, the address of a table (#testset/protocol), and the first drawing.

const addressOf = (table) => `${table.testset}/${table.protocol}`;

function drawTabs() {
  const tabs = DATA.tables.map((table, place) =>
    make(
      "button",
      {
        type: "button", role: "tab", id: `tab-${place}`, "aria-controls": "panel", class: "tab",
        "aria-selected": String(place === state.table), tabindex: place === state.table ? "0" : "-1", onclick: () => openTable(place),
      },
      make("strong", {}, table.protocol), make("span", {}, table.title),
    ),
  );
  replace("tabs", tabs);
}

function tabKey(event) {
  const count = DATA.tables.length;
  const next = { ArrowRight: state.table + 1, ArrowLeft: state.table - 1 + count, Home: 0, End: count - 1 }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  openTable(next % count);
  byId(`tab-${state.table}`).focus();
}

function openTable(place) {
  state.table = place;
  const address = `#${addressOf(currentTable())}`;
  if (location.hash !== address) history.replaceState(null, "", address);
  draw();
  const tab = byId(`tab-${place}`);
  tab.parentElement.scrollLeft = Math.max(0, tab.offsetLeft - 16);
}

function draw() {
  const table = currentTable();
  closeHint();
  const scored = (metric) => table.rows.some((row) => typeof row.figures[metric]?.value === "number");
  const leading = table.metrics.find(scored) ?? table.metrics[0];
  state.sort = { column: leading, descending: metricOf(leading).up };
  state.metric = table.metrics[0];
  state.method = preferredMethod(table);
  list.page = 0;
  list.filter = "";
  drawTabs();
  byId("panel").setAttribute("aria-labelledby", `tab-${state.table}`);
  replace("title", `${table.title}`);
  replace("words", make("strong", {}, table.protocol), `: ${table.words || "a protocol that this version does not know"}`);
  replace("source", table.source);
  drawBoard();
  drawFrontControls();
  drawFront();
  drawPairs();
  drawImages();
  drawPublished();
}

function drawReading() {
  const items = [
    "Every table is one test set under one protocol; figures of two protocols never share a column.",
    "A mean is that of per-image values (under a per-sequence protocol: of the sequences' means). Its 95 % interval comes from 2,000 bootstrap draws of whole sequences, because frames of a sequence resemble each other; with one sequence there is none.",
    "≈ marks methods that cannot be told from the best: Wilcoxon's signed-rank test over the images, corrected after Holm for all pairs, is not below 0.05, or the interval of the mean difference holds 0.",
    "The front of quality against cost holds every method that no other beats in both.",
    "A published figure stands beside ours only under the same protocol. Others stand in a column of their own, with the difference named.",
    "Per-image values are rounded here to one part in 65,000 of their range; scores.csv has them in full, comparisons.csv every pair of methods.",
  ];
  if (DATA.study) items.push(DATA.study);
  replace("reading", make("ul", {}, items.map((text) => make("li", {}, text))));
}

function start() {
  startTheme();
  startHints();
  if (!DATA.tables.length) {
    replace("panel", make("p", {}, "methods.csv holds no method yet: run benchmark/run.py first."));
    return;
  }
  const images = new Set(DATA.tables.map((table) => addressOf(table))).size;
  const methods = new Set(DATA.tables.flatMap((table) => table.rows.map((row) => row.method))).size;
  const shown = DATA.tables.reduce((sum, table) => sum + keysOf(table).length, 0);
  const commits = DATA.commits.map((commit) => commit.slice(0, 10)).join(", ");
  replace("subtitle", `${methods} methods, ${images} tables, ${grouped(shown)} images${commits ? `, commit ${commits}` : ""}`);
  if (DATA.note) {
    byId("simulated").textContent = DATA.note;
    byId("simulated").hidden = false;
  }
  byId("tabs").addEventListener("keydown", tabKey);
  byId("viewer").addEventListener("keydown", viewerKey);
  const wanted = DATA.tables.findIndex((table) => addressOf(table) === decodeURIComponent(location.hash.slice(1)));
  drawReading();
  drawMatrix();
  openTable(Math.max(0, wanted));
  window.addEventListener("hashchange", () => {
    const place = DATA.tables.findIndex((table) => addressOf(table) === decodeURIComponent(location.hash.slice(1)));
    if (place >= 0 && place !== state.table) openTable(place);
  });
  let waiting = 0;
  window.addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      drawFront();
      applyView();
    }, 150);
  });
}

start();
