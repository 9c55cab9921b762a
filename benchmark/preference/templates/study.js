"use strict";
// Shows the pairs of the participant in the address and sends votes; the next pair comes with a vote's confirmation.
const participant = location.pathname.split("/").pop();
const byId = (name) => document.getElementById(name);
const sides = ["left", "right"];
const view = { scale: 1, x: 0, y: 0 };
let current = null;
let busy = true;
let shownAt = 0;

const say = (text) => { byId("message").textContent = text; };

/** Move and zoom both images; neither can be dragged out of its frame. */
function draw() {
  const picture = byId("left");
  const room = (frame, size) => Math.max(0, (size * view.scale - frame) / 2);
  const [wide, high] = [room(picture.parentElement.clientWidth, picture.clientWidth), room(picture.parentElement.clientHeight, picture.clientHeight)];
  view.x = Math.min(wide, Math.max(-wide, view.x));
  view.y = Math.min(high, Math.max(-high, view.y));
  for (const side of sides) {
    byId(side).style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
    byId(side).style.imageRendering = (view.scale * byId(side).clientWidth) / (byId(side).naturalWidth || 1) > 3 ? "pixelated" : "auto";
  }
}

/** Zoom so that what was at a point, counted from the middle of a frame, comes to another one (or stays there). */
function zoom(factor, from = { x: 0, y: 0 }, to = from) {
  const scale = Math.min(32, Math.max(1, view.scale * factor));
  view.x = to.x - ((from.x - view.x) * scale) / view.scale;
  view.y = to.y - ((from.y - view.y) * scale) / view.scale;
  view.scale = scale;
  draw();
}

function move(x, y) {
  view.x += x;
  view.y += y;
  draw();
}

function reset() { Object.assign(view, { scale: 1, x: 0, y: 0 }); draw(); }

/** One image above the other where that shows them clearly larger. */
function arrange() {
  const { naturalWidth: width, naturalHeight: height } = byId("left");
  const room = byId("pair").getBoundingClientRect();
  if (!width || !room.width) { return; }
  const beside = Math.min(room.width / 2 / width, room.height / height);
  const above = Math.min(room.width / width, room.height / 2 / height);
  document.body.classList.toggle("stacked", above > 1.2 * beside);
  draw();
}

async function show(state) {
  current = state;
  byId("progress").max = state.total;
  byId("progress").value = state.position;
  byId("count").textContent = `${state.position} of ${state.total}`;
  if (state.done) {
    document.body.classList.add("done");
    say("All pairs are done. Thank you!");
    return;
  }
  byId("pair").style.visibility = "hidden"; // never one image of this pair beside one of the last
  reset();
  sides.forEach((side, index) => { byId(side).src = state.images[index]; });
  await Promise.all(sides.map((side) => byId(side).decode()));
  arrange();
  byId("pair").style.visibility = "";
  shownAt = performance.now();
  busy = false;
  document.body.dataset.position = state.position;
  for (const address of state.ahead) { new Image().src = address; }
}

/** Ask the server where to go on, and say a sentence with it. */
async function refresh(sentence = "") {
  busy = true;
  try {
    const state = await (await fetch(`/next/${participant}`)).json();
    say(sentence);
    await show(state);
  } catch (error) {
    say("The server or an image cannot be reached; trying again.");
    setTimeout(refresh, 2000);
  }
}

async function vote(choice) {
  if (busy || current === null || current.done) { return; }
  busy = true;
  const wait = current.least_seconds * 1000 + 50 - (performance.now() - shownAt);
  if (wait > 0) {
    say("Please look a little longer.");
    busy = false;
    return;
  }
  try {
    const answer = await fetch(`/vote/${participant}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ position: current.position, choice }),
    });
    const body = await answer.json();
    if (answer.ok) {
      say("");
      await show(body);
    } else {
      await refresh(body.error);
    }
  } catch (error) {
    say("The vote did not arrive; trying again to reach the server.");
    setTimeout(refresh, 2000);
  }
}

for (const choice of ["left", "skip", "right"]) {
  byId(`vote-${choice}`).addEventListener("click", () => { vote(choice); document.activeElement.blur(); });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !current || current.done) { return; }
  const step = 60;
  const moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
  const stacked = document.body.classList.contains("stacked");
  const votes = { ArrowLeft: "left", ArrowRight: "right", " ": "skip", ...(stacked ? { ArrowUp: "left", ArrowDown: "right" } : {}) };
  const zooms = { "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: reset };
  if (event.key === " " && event.target.tagName === "BUTTON") { return; } // space presses the focused button
  if (event.shiftKey && event.key in moves) { move(...moves[event.key]); } else if (event.key in votes) {
    if (!event.repeat) { vote(votes[event.key]); }
  } else if (event.key in zooms) { zooms[event.key](); } else { return; }
  event.preventDefault();
});

const fingers = new Map();

/** Where a pointer is, counted from the middle of its frame. */
function fromMiddle(frame, event) {
  const box = frame.getBoundingClientRect();
  return { x: event.clientX - box.left - box.width / 2, y: event.clientY - box.top - box.height / 2 };
}

function pointerMoved(event) {
  const before = fingers.get(event.pointerId);
  if (!before) { return; }
  const now = { frame: before.frame, ...fromMiddle(before.frame, event) };
  const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
  fingers.set(event.pointerId, now);
  if (!other) {
    move(now.x - before.x, now.y - before.y);
    return;
  }
  const spread = (point) => Math.max(1, Math.hypot(point.x - other.x, point.y - other.y));
  const middle = (point) => ({ x: (point.x + other.x) / 2, y: (point.y + other.y) / 2 });
  zoom(spread(now) / spread(before), middle(before), middle(now));
}

for (const frame of document.querySelectorAll(".view")) {
  frame.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.deltaY) { zoom(event.deltaY < 0 ? 1.25 : 0.8, fromMiddle(frame, event)); }
  }, { passive: false });
  frame.addEventListener("pointerdown", (event) => {
    if (event.button) { return; }
    frame.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { frame, ...fromMiddle(frame, event) });
  });
  frame.addEventListener("pointermove", pointerMoved);
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
    frame.addEventListener(name, (event) => fingers.delete(event.pointerId));
  }
  frame.addEventListener("dblclick", reset);
}

window.addEventListener("resize", arrange);
refresh();
