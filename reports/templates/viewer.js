// Two results of one image: a slider between them or side by side, with one zoom for both.

const view = { place: 0, order: [], left: "", right: "", side: false, split: 50, scale: 1, x: 0, y: 0, pointers: new Map() };

function openViewer(place) {
  const table = currentTable();
  view.order = orderedImages().map((image) => image.place);
  view.place = place;
  view.right = hasImage(table, state.method, place) ? state.method : "";
  view.left = blurredOf(table, place);
  if (view.right === view.left && hasImage(table, "_sharp", place)) view.right = "_sharp";
  resetZoom();
  closeHint();
  drawViewer();
  const dialog = byId("viewer");
  if (!dialog.open) dialog.showModal();
  dialog.querySelector("#split")?.focus();
}

function drawViewer() {
  const table = currentTable();
  const { place } = view;
  const at = view.order.indexOf(place);
  const names = ["_blur", "identity", ...table.rows.map((row) => row.method).filter((name) => name !== "identity"), "_sharp"];
  let choices = names.filter((name) => hasImage(table, name, place));
  if (choices.includes("identity")) choices = choices.filter((name) => name !== "_blur");
  for (const side of ["left", "right"]) if (!choices.includes(view[side])) view[side] = choices[side === "left" ? 0 : choices.length - 1] ?? "";
  const options = choices.map((name) => [name, imageTitle(name)]);
  const choose = (side) => (name) => {
    view[side] = name;
    drawViewer();
    byId(`${side}-choice`).focus();
  };
  const bar = make(
    "div", { class: "viewer-bar" },
    make("h2", { id: "viewer-title" }, keysOf(table)[place], make("span", { class: "quiet" }, `${table.title}, ${table.protocol}`)),
    button("Previous", "Previous image (Page Up)", () => stepImage(-1), at <= 0, "previous"),
    button("Next", "Next image (Page Down)", () => stepImage(1), at >= view.order.length - 1, "next"),
    button("Close", "Close (Escape)", () => byId("viewer").close(), false, "close"),
  );
  const controls = make(
    "div", { class: "controls" },
    makeSelect("left", options, view.left, choose("left"), "left-choice"),
    makeSelect("right", options, view.right, choose("right"), "right-choice"),
    make("div", { class: "buttons" },
      button(view.side ? "Slider" : "Side by side", "", switchMode, false, "mode"),
      button("−", "Zoom out (−)", () => zoomBy(1 / 1.5), false, "zoom-out"),
      make("output", { id: "zoom" }, zoomText()),
      button("+", "Zoom in (+)", () => zoomBy(1.5), false, "zoom-in"),
      button("Fit", "Fit (0)", () => zoomBy(0), false, "fit")),
  );
  const content = choices.length ? [controls, stage(table), ...(view.side ? [] : [splitSlider()])] : [make("p", {}, "No picture of this image was kept.")];
  const help = make("p", { class: "quiet" }, "Drag or arrow keys on the picture move it; wheel, pinch, + and − zoom both; Page Up and Page Down change the image.");
  byId("viewer").replaceChildren(bar, ...content, help);
  if (choices.length) applyView();
}

const button = (text, title, click, disabled, id) => make("button", { type: "button", title: title || null, "aria-label": title || null, onclick: click, disabled, id }, text);

function stage(table) {
  const panes = ["left", "right"].map((side) => pane(table, side));
  const words = `${imageTitle(view.left)} and ${imageTitle(view.right)}, image ${keysOf(table)[view.place]}`;
  const element = make("div", { class: view.side ? "stage side" : "stage", id: "stage", tabindex: "0", role: "group", "aria-label": words }, panes);
  if (!view.side) element.append(make("div", { class: "divider", "aria-hidden": "true" }));
  element.addEventListener("keydown", stageKey);
  element.addEventListener("wheel", wheelZoom, { passive: false });
  element.addEventListener("pointerdown", pointerDown);
  element.addEventListener("pointermove", pointerMove);
  for (const name of ["pointerup", "pointercancel"]) element.addEventListener(name, pointerUp);
  return element;
}

function pane(table, side) {
  const name = view[side];
  const picture = make("img", { alt: `${imageTitle(name)}, ${keysOf(table)[view.place]}`, draggable: "false", src: imageSource(table, name, view.place) });
  picture.addEventListener("load", () => {
    byId("stage")?.style.setProperty("--ratio", picture.naturalWidth / picture.naturalHeight);
    applyView();
  });
  const value = imageValues(table, state.metric)[name === "_blur" ? "identity" : name]?.[view.place];
  const figure = value === undefined || Number.isNaN(value) ? "" : withUnit(value, state.metric);
  return make("div", { class: `pane ${side}` }, picture, make("div", { class: "label" }, make("strong", {}, imageTitle(name)), ` ${figure}`));
}

function splitSlider() {
  const input = make("input", { type: "range", id: "split", min: 0, max: 100, step: 1, value: view.split, "aria-label": `Share of the picture that shows ${imageTitle(view.left)}` });
  input.addEventListener("input", () => {
    view.split = Number(input.value);
    applyView();
  });
  return input;
}

function switchMode() {
  view.side = !view.side;
  resetZoom();
  drawViewer();
  byId("mode").focus();
}

function stepImage(step) {
  const next = view.order[view.order.indexOf(view.place) + step];
  if (next === undefined) return;
  view.place = next;
  const focused = document.activeElement?.id;
  drawViewer();
  const wanted = byId(focused);
  (wanted && !wanted.disabled ? wanted : byId("close")).focus();
}

const zoomText = () => `${Math.round(view.scale * 100)} %`;

function resetZoom() {
  Object.assign(view, { scale: 1, x: 0, y: 0 });
}

/** Zoom around a point of the pane (its middle unless told); a factor of 0 fits the picture again. */
function zoomBy(factor, around) {
  const box = document.querySelector("#stage .pane").getBoundingClientRect();
  const point = around ?? { x: box.width / 2, y: box.height / 2 };
  const scale = factor ? Math.min(32, Math.max(1, view.scale * factor)) : 1;
  view.x = point.x - ((point.x - view.x) * scale) / view.scale;
  view.y = point.y - ((point.y - view.y) * scale) / view.scale;
  view.scale = scale;
  applyView();
}

function applyView() {
  const element = byId("stage");
  if (!element) return;
  const { width, height } = element.querySelector(".pane").getBoundingClientRect();
  view.x = Math.min(0, Math.max(width * (1 - view.scale), view.x));
  view.y = Math.min(0, Math.max(height * (1 - view.scale), view.y));
  for (const picture of element.querySelectorAll("img")) {
    picture.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
    picture.classList.toggle("pixels", (view.scale * width) / (picture.naturalWidth || width) > 2);
  }
  element.style.setProperty("--split", `${view.split}%`);
  const input = byId("split");
  if (input) {
    input.value = view.split;
    input.setAttribute("aria-valuetext", `${view.split} % ${imageTitle(view.left)}`);
  }
  byId("zoom").textContent = zoomText();
}

function stageKey(event) {
  const step = 40;
  const moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
  if (event.key in moves) {
    view.x += moves[event.key][0];
    view.y += moves[event.key][1];
    applyView();
    event.preventDefault();
  }
}

function viewerKey(event) {
  if (event.target.closest("select")) return;
  const actions = { "+": () => zoomBy(1.5), "=": () => zoomBy(1.5), "-": () => zoomBy(1 / 1.5), 0: () => zoomBy(0), PageUp: () => stepImage(-1), PageDown: () => stepImage(1) };
  if (!(event.key in actions) || !byId("stage") || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  actions[event.key]();
}

function inPane(event) {
  const panes = [...document.querySelectorAll("#stage .pane")].map((element) => element.getBoundingClientRect());
  const box = panes.find((b) => event.clientX >= b.left && event.clientX <= b.right && event.clientY >= b.top && event.clientY <= b.bottom) ?? panes[0];
  return { x: event.clientX - box.left, y: event.clientY - box.top, width: box.width };
}

function wheelZoom(event) {
  event.preventDefault();
  zoomBy(event.deltaY < 0 ? 1.2 : 1 / 1.2, inPane(event));
}

function pointerDown(event) {
  if (event.button) return;
  event.currentTarget.setPointerCapture(event.pointerId);
  const { x, width } = inPane(event);
  const onDivider = !view.side && Math.abs(x - (width * view.split) / 100) < 24;
  view.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY, splits: onDivider || (!view.side && view.scale === 1) });
}

function pointerMove(event) {
  const before = view.pointers.get(event.pointerId);
  if (!before) return;
  const others = [...view.pointers].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
  if (others.length) {
    const distance = (point) => Math.hypot(point.x - others[0].x, point.y - others[0].y) || 1;
    zoomBy(distance({ x: event.clientX, y: event.clientY }) / distance(before), inPane(event));
  } else if (before.splits) {
    const { x, width } = inPane(event);
    view.split = Math.round(Math.min(100, Math.max(0, (100 * x) / width)));
  } else {
    view.x += event.clientX - before.x;
    view.y += event.clientY - before.y;
  }
  Object.assign(before, { x: event.clientX, y: event.clientY });
  applyView();
}

function pointerUp(event) {
  view.pointers.delete(event.pointerId);
}
