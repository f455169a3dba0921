"use strict";
// One time leads all: the video's, or, where the browser cannot play it, the one last asked for.
const byId = (id) => document.getElementById(id);
const [video, preview, slider, cursor, readout, list] =
  ["video", "preview", "timeline", "cursor", "readout", "segments"].map(byId);
const rows = [...list.children];
const starts = rows.map((row) => Number(row.dataset.start));
const duration = Number(slider.getAttribute("aria-valuemax"));
let playable = true;
let current = -1; // segment

const segmentAt = (time) => Math.max(0, starts.filter((start) => start <= time + 1e-3).length - 1);

function tell(segment) {
  readout.textContent = rows[segment].dataset.says;
}

function show(time) {
  const shown = Math.min(time, duration);
  cursor.style.left = `${(100 * shown) / duration}%`;
  const segment = segmentAt(shown);
  slider.setAttribute("aria-valuenow", shown.toFixed(2));
  slider.setAttribute("aria-valuetext", rows[segment].dataset.says);
  if (segment === current) return;
  rows[current]?.removeAttribute("aria-current");
  current = segment;
  const row = rows[current];
  row.setAttribute("aria-current", "true");
  tell(current);
  const top = row.offsetTop - list.offsetTop;
  const inside = top >= list.scrollTop && top + row.offsetHeight <= list.scrollTop + list.clientHeight;
  if (!inside) list.scrollTop = top - list.clientHeight / 3;
  const picture = rows.slice(0, current + 1).findLast((each) => each.querySelector(".picture[class*=' t']"));
  preview.className = picture?.querySelector(".picture").className ?? "picture";
}

function seek(time) {
  const wanted = Math.min(Math.max(time, 0), duration);
  if (playable) video.currentTime = wanted;
  show(wanted);
}

function follow() {
  show(video.currentTime);
  if (!video.paused) requestAnimationFrame(follow);
}

function giveUp() {
  playable = false;
  video.hidden = true;
  preview.hidden = byId("unplayable").hidden = false;
}

video.addEventListener("play", follow);
for (const event of ["seeked", "timeupdate"]) video.addEventListener(event, () => playable && show(video.currentTime));
video.addEventListener("error", giveUp);
video.addEventListener("loadedmetadata", () => video.videoWidth || giveUp()); // sound alone
if (video.error) giveUp();

const timeUnder = (event) => {
  const box = slider.getBoundingClientRect();
  return (duration * Math.min(Math.max(event.clientX - box.left, 0), box.width)) / box.width;
};
slider.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  slider.setPointerCapture(event.pointerId);
  seek(timeUnder(event));
});
slider.addEventListener("pointermove", (event) => {
  if (slider.hasPointerCapture(event.pointerId)) seek(timeUnder(event));
  tell(segmentAt(timeUnder(event)));
});
slider.addEventListener("pointerleave", () => tell(current));

const KEYS = {
  ArrowRight: () => seek(starts[Math.min(current + 1, starts.length - 1)]),
  ArrowLeft: () => seek(starts[Math.max(current - 1, 0)]),
  Home: () => seek(0),
  End: () => seek(starts[starts.length - 1]),
  " ": () => playable && (video.paused ? video.play() : video.pause()),
};
KEYS.ArrowUp = KEYS.ArrowRight;
KEYS.ArrowDown = KEYS.ArrowLeft;
slider.addEventListener("keydown", (event) => {
  if (!(event.key in KEYS) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  KEYS[event.key]();
});

list.addEventListener("click", (event) => {
  const row = event.target.closest("li");
  if (row && getSelection().isCollapsed) seek(Number(row.dataset.start));
});

// Names on the ribbon where they have room.
new ResizeObserver(() => {
  for (const run of slider.querySelectorAll(".run")) {
    const text = run.querySelector("text");
    if (text) text.classList.toggle("tight", text.getComputedTextLength() + 10 > run.firstElementChild.getBBox().width);
  }
}).observe(slider);

show(0);
