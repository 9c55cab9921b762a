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

function draw() {
  for (const side of sides) {
    byId(side).style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
    byId(side).style.imageRendering = view.scale > 3 ? "pixelated" : "auto";
  }
}

function zoom(factor) {
  const scale = Math.min(16, Math.max(1, view.scale * factor));
  view.x *= scale / view.scale;
  view.y *= scale / view.scale;
  view.scale = scale;
  if (scale === 1) { view.x = 0; view.y = 0; }
  draw();
}

function reset() { Object.assign(view, { scale: 1, x: 0, y: 0 }); draw(); }

async function show(state) {
  current = state;
  byId("progress").max = state.total;
  byId("progress").value = state.position;
  byId("count").textContent = `${state.position} of ${state.total}`;
  if (state.done) {
    byId("pair").hidden = true;
    byId("pair").style.display = "none";
    byId("buttons").style.display = "none";
    say("All pairs are done. Thank you!");
    return;
  }
  reset();
  sides.forEach((side, index) => { byId(side).src = state.images[index]; });
  await Promise.all(sides.map((side) => byId(side).decode()));
  shownAt = performance.now();
  busy = false;
  document.body.dataset.position = state.position;
  for (const address of state.ahead) { new Image().src = address; }
}

async function refresh() {
  busy = true;
  try {
    await show(await (await fetch(`/next/${participant}`)).json());
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
      say(body.error);
      await refresh();
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
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) { return; }
  const votes = { ArrowLeft: "left", ArrowRight: "right", " ": "skip" };
  if (event.key in votes) {
    if (event.key === " " && event.target.tagName === "BUTTON") { return; } // space presses the focused button
    event.preventDefault();
    vote(votes[event.key]);
  } else if (event.key === "+" || event.key === "=") { zoom(1.5); } else if (event.key === "-") { zoom(1 / 1.5); } else if (event.key === "0") { reset(); }
});

const fingers = new Map();
for (const frame of document.querySelectorAll(".view")) {
  frame.addEventListener("wheel", (event) => { event.preventDefault(); zoom(event.deltaY < 0 ? 1.25 : 0.8); }, { passive: false });
  frame.addEventListener("pointerdown", (event) => {
    frame.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  frame.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) { return; }
    const spread = () => { const [a, b] = [...fingers.values()]; return Math.hypot(a.x - b.x, a.y - b.y); };
    const old = fingers.size === 2 ? spread() : 0;
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (fingers.size === 2 && old > 0) { zoom(spread() / old); } else if (fingers.size === 1 && view.scale > 1) {
      view.x += event.clientX - before.x;
      view.y += event.clientY - before.y;
      draw();
    }
  });
  for (const name of ["pointerup", "pointercancel"]) {
    frame.addEventListener(name, (event) => fingers.delete(event.pointerId));
  }
}

refresh();
