// Quality against cost as an SVG: a point a method, its interval as a whisker, the Pareto front as steps.

const plot = { left: 56, right: 16, top: 14, bottom: 44 };

function drawFrontControls() {
  const table = currentTable();
  const metrics = table.metrics.filter((metric) => table.rows.some((row) => typeof row.figures[metric]?.value === "number"));
  if (!metrics.includes(state.metric)) state.metric = metrics[0] ?? table.metrics[0];
  replace(
    "front-controls",
    metrics.length ? makeSelect("metric", metrics.map((id) => [id, metricOf(id).title]), state.metric, chooseMetric, "metric-choice") : null,
    makeSelect("cost", Object.entries(COSTS).map(([id, cost]) => [id, cost.title]), state.cost, (cost) => {
      state.cost = cost;
      drawFront();
    }, "cost-choice"),
  );
}

function chooseMetric(metric) {
  state.metric = metric;
  drawFront();
  drawPairs();
  drawImages();
}

function drawFront() {
  const table = currentTable();
  const { metric, cost } = state;
  const points = table.rows
    .filter((row) => row[cost] !== undefined && typeof row.figures[metric]?.value === "number")
    .map((row) => ({ row, figure: row.figures[metric], x: row[cost], y: row.figures[metric].value }));
  const without = table.rows.filter((row) => !points.some((point) => point.row === row)).map((row) => row.method);
  if (!points.length) {
    replace("front", make("p", { class: "quiet" }, `No method has both ${metricOf(metric).title} and ${COSTS[cost].title} here.`));
    return;
  }
  const front = table.fronts[metric][cost];
  const note = without.length ? `Without ${COSTS[cost].title} or figure: ${without.join(", ")}. ` : "";
  const words = `On the front, cheapest first: ${front.join(", ")}. ${note}`;
  replace("front", frontChart(table, points, front), make("p", { class: "quiet" }, words));
}

function frontChart(table, points, front) {
  const width = Math.max(300, byId("front").clientWidth || 720);
  const height = width < 520 ? 300 : 360;
  const [xs, ys] = [logScale(points.map((p) => p.x), plot.left, width - plot.right), valueScale(points, height)];
  const title = `${metricHead(state.metric)} against ${COSTS[state.cost].title}`;
  const chart = makeSvg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": title, class: "chart" });
  for (const tick of xs.ticks) {
    const x = xs.of(tick);
    chart.append(makeSvg("line", { x1: x, x2: x, y1: plot.top, y2: height - plot.bottom, class: "grid-line" }));
    chart.append(makeSvg("text", { x, y: height - plot.bottom + 16, "text-anchor": "middle" }, tickText(tick)));
  }
  for (const tick of ys.ticks) {
    const y = ys.of(tick);
    chart.append(makeSvg("line", { x1: plot.left, x2: width - plot.right, y1: y, y2: y, class: "grid-line" }));
    chart.append(makeSvg("text", { x: plot.left - 6, y: y + 4, "text-anchor": "end" }, tickText(tick)));
  }
  const unit = COSTS[state.cost].unit;
  chart.append(makeSvg("text", { x: (plot.left + width - plot.right) / 2, y: height - 8, "text-anchor": "middle", class: "axis" }, `${COSTS[state.cost].title}, ${unit} ← better`));
  chart.append(makeSvg("text", { x: 4, y: 10, class: "axis" }, metricHead(state.metric)));
  const steps = front.map((name) => points.find((point) => point.row.method === name)).filter(Boolean);
  const path = steps.map((p, i) => (i ? `H${xs.of(p.x)}V${ys.of(p.y)}` : `M${xs.of(p.x)},${ys.of(p.y)}`)).join("");
  chart.append(makeSvg("path", { d: `${path}H${width - plot.right}`, class: "front-line" }));
  const taken = points.map((p) => ({ left: xs.of(p.x) - 6, right: xs.of(p.x) + 6, top: ys.of(p.y) - 6, bottom: ys.of(p.y) + 6 }));
  for (const point of points) chart.append(frontPoint(table, point, xs, ys, front, taken, width));
  return chart;
}

function frontPoint(table, point, xs, ys, front, taken, width) {
  const [x, y] = [xs.of(point.x), ys.of(point.y)];
  const leading = front.includes(point.row.method);
  const words = `${point.row.method}: ${withUnit(point.y, state.metric)} at ${show(point.x, 2)} ${COSTS[state.cost].unit}${leading ? ", on the front" : ""}`;
  const group = makeSvg("g", { tabindex: "0", role: "img", "aria-label": words, class: leading ? "point leading" : "point" });
  if (typeof point.figure.low === "number") {
    group.append(makeSvg("line", { x1: x, x2: x, y1: ys.of(point.figure.low), y2: ys.of(point.figure.high), class: "whisker" }));
  }
  group.append(makeSvg("circle", { cx: x, cy: y, r: 5 }), pointLabel(point.row.method, x, y, taken, width));
  explain(group, () => [[COSTS[state.cost].title, `${point.x} ${COSTS[state.cost].unit}`], ...figureLines(table, point.row, state.metric)]);
  return group;
}

/** The name beside a point, at the first of six places that no other point or name has. */
function pointLabel(name, x, y, taken, width) {
  const long = name.length * 6.6;
  const places = [[9, 4, "start"], [-9, 4, "end"], [9, -9, "start"], [9, 17, "start"], [-9, -9, "end"], [-9, 17, "end"], [0, -22, "middle"], [0, 30, "middle"]];
  const boxOf = ([dx, dy, anchor]) => {
    const left = x + dx - { start: 0, middle: long / 2, end: long }[anchor];
    return { left, right: left + long, top: y + dy - 10, bottom: y + dy + 3 };
  };
  const free = (box) =>
    box.left > plot.left && box.right < width - 2 && box.top > 12 &&
    taken.every((other) => box.right < other.left || box.left > other.right || box.bottom < other.top || box.top > other.bottom);
  const place = places.find((candidate) => free(boxOf(candidate)));
  if (!place) return makeSvg("text", {}, ""); // crowded: the name is in the hint
  taken.push(boxOf(place));
  return makeSvg("text", { x: x + place[0], y: y + place[1], "text-anchor": place[2] }, name);
}

function logScale(values, start, end) {
  const positive = values.filter((value) => value > 0);
  const least = Math.min(...positive, 1e9);
  const low = Math.log10(least) - 0.12;
  const high = Math.log10(Math.max(...positive, least)) + 0.25;
  const of = (value) => start + ((Math.log10(Math.max(value, least)) - low) / (high - low)) * (end - start);
  const ticks = [];
  const steps = high - low > 2.5 ? [1] : high - low > 1 ? [1, 3] : [1, 2, 3, 5, 7];
  for (let decade = Math.floor(low); decade <= high; decade += 1) {
    for (const step of steps) {
      const value = step * 10 ** decade;
      if (Math.log10(value) >= low && Math.log10(value) <= high) ticks.push(value);
    }
  }
  return { of, ticks };
}

function valueScale(points, height) {
  const all = points.flatMap(({ figure }) => [figure.low, figure.value, figure.high]).filter((value) => typeof value === "number");
  let [low, high] = [Math.min(...all), Math.max(...all)];
  const margin = (high - low || Math.abs(high) || 1) * 0.12;
  [low, high] = [low - margin, high + margin];
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const ticks = [];
  for (let n = Math.ceil(low / step); n * step <= high; n += 1) ticks.push(n * step);
  const of = (value) => plot.top + ((high - value) / (high - low)) * (height - plot.top - plot.bottom);
  return { of, ticks };
}

const tickText = (value) => String(Number(value.toPrecision(4)));
