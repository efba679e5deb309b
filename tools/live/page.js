// websocket -> receive: what is remembered -> redraw: one function for each panel.

import { HISTORY_S, byId, element } from "/plots.js";
import {
  drawAccount, drawActivity, drawAnswer, drawHead, drawHeat, drawLatency, drawNeurons, drawPlayer,
  drawSensor, drawWork,
} from "/panels.js";

const FADE_S = 0.15, RETRY_MS = 2000, SILENCE_MS = 2000, IDLE_S = 3;
const PACES = [0.1, 0.25, 0.5, 1, 2, 4, 10];

let socket = null;
let latest = null;   // the latest snapshot
let silence = 0;     // the timer that says that no data come
let drawing = false; // a draw is due at the next frame
let busy_s = 0;      // when events came last
const nothing = () => ({
  recent: [],        // snapshots of the last 10 s, without their images
  sensor: null,      // {on, off}: events at each pixel, fading; `bright` of them is full colour
  maps: [],          // of each layer of maps the spikes of its neurons, fading
});
let seen = nothing();

// ---- connection ----

function showState(text, kind = "") {
  Object.assign(byId("status"), { textContent: text, className: kind });
}
function connect() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(`${scheme}//${location.host}/live`);
  socket.onopen = () => showState("Connected, no data yet");
  socket.onmessage = (message) => receive(JSON.parse(message.data));
  socket.onclose = () => {
    clearTimeout(silence);
    showState(latest?.ended ? "Ended, and eventsim has closed" : "Disconnected, trying again",
      latest?.ended ? "" : "warn");
    setTimeout(connect, RETRY_MS); // after the end too: the next run may use the same address
  };
}
function ask(wish) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(wish));
}
function receive(snapshot) {
  clearTimeout(silence);
  const same = latest?.network === snapshot.network && latest.seconds <= snapshot.seconds
    && latest.layers.length === snapshot.layers.length;
  if (!same) [latest, seen, busy_s] = [null, nothing(), snapshot.seconds];
  if (latest && snapshot.seconds === latest.seconds) return; // seen before a reconnection
  if (snapshot.events_per_second > 0) busy_s = snapshot.seconds;
  remember(snapshot, latest ? snapshot.seconds - latest.seconds : Infinity);
  latest = snapshot;
  tell(snapshot);
  redraw();
}
function tell(snapshot) {
  const { ended, playback, seconds } = snapshot;
  if (ended) return showState(playback ? "Ended: the recording is over" : "Ended");
  silence = setTimeout(() => showState("Connected, no data", "warn"), SILENCE_MS);
  if (playback?.paused) return showState("Paused");
  if (seconds - busy_s >= IDLE_S)
    return showState(`Idle: no events for ${Math.floor(seconds - busy_s)} s`, "warn");
  return showState(playback ? "Playing" : "Live", "live");
}

// ---- what is remembered ----

const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));

function remember(snapshot, passed_s) {
  const keep = snapshot.playback?.paused ? 1 : Math.exp(-passed_s / FADE_S);
  const { image } = snapshot;
  if (image) {
    const pixels = image.width * image.height;
    if (seen.sensor?.on.length !== pixels)
      seen.sensor = { on: new Float32Array(pixels), off: new Float32Array(pixels), bright: 1 };
    expose(seen.sensor, keep, [["on", bytes(image.on)], ["off", bytes(image.off)]]);
  }
  snapshot.layers.forEach((layer, index) => {
    layer.counts = layer.spikes === null ? null : bytes(layer.spikes);
    layer.most = layer.counts?.reduce((most, count) => Math.max(most, count), 0);
    if (layer.counts && layer.shape.length > 1) {
      const size = layer.counts.length;
      expose(seen.maps[index] ??= { levels: new Float32Array(size), bright: 1 }, keep,
        [["levels", layer.counts]]);
    }
  });
  seen.recent = [...seen.recent, { ...snapshot, image: null }]
    .filter((old) => old.seconds >= snapshot.seconds - HISTORY_S);
}
// Add counts to what fades; twice their mean is full colour, and that falls more slowly than pixels
// fade, so that what is left of an image fades too.
function expose(fading, keep, added) {
  let events = 0, active = 0;
  for (const [name, counts] of added) {
    const levels = fading[name];
    counts.forEach((count, place) => {
      levels[place] = levels[place] * keep + count;
      if (count) { events += count; active++; }
    });
  }
  fading.bright = Math.max(1, 0.9 * fading.bright, active ? 2 * events / active : 0);
}

// ---- drawing ----

function redraw() {
  if (drawing || !latest) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    for (const panel of [drawHead, drawPlayer, drawSensor, drawAnswer, drawHeat, drawNeurons,
      drawActivity, drawWork, drawLatency, drawAccount]) panel(latest, seen);
  });
}

byId("pace").append(...PACES.map((pace) =>
  Object.assign(element("option", `${pace} ×`), { value: String(pace) })));
byId("pace").addEventListener("change", (event) => ask({ pace: Number(event.target.value) }));
byId("pause").addEventListener("click", () => ask({ paused: !latest?.playback?.paused }));
addEventListener("resize", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
connect();
