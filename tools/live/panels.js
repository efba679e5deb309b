// One function for each panel of the page: a snapshot in, and what is remembered of those before.

import {
  HISTORY_S, axes, byId, colour, drawLines, duration, element, exact, label, percent, rgb, say, si,
  sum,
} from "/plots.js";

const CURVES = 6, COLUMNS = 200, ROWS = 256; // of a raster

export function drawHead(snapshot) {
  say("network", snapshot.network);
  const clock = snapshot.stream_us < 0 ? "no events yet"
    : `stream at ${(snapshot.stream_us / 1e6).toFixed(1)} s`;
  say("about", [`from ${snapshot.source}`, `${snapshot.mode} mode`,
    `running for ${snapshot.seconds.toFixed(1)} s`, clock].join(" · "));
  say("events", `${si(snapshot.events_per_second)}/s`);
  say("answers", `${si(snapshot.answers_per_second)}/s`);
  say("p50", duration(snapshot.latency_us.p50));
  say("p99", duration(snapshot.latency_us.p99));
}
export function drawSensor({ image }, { sensor }) {
  if (!image || !sensor) return; // of a snapshot that is past
  const { width, height } = image, canvas = byId("sensor"), pen = canvas.getContext("2d");
  [canvas.width, canvas.height] = [width, height];
  const picture = pen.createImageData(width, height);
  const [back, on, off] = ["panel", "on", "off"].map(rgb);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const strong = Math.min(1, sensor.on[pixel] / sensor.bright);
    const weak = Math.min(1, sensor.off[pixel] / sensor.bright);
    for (let part = 0; part < 3; part++)
      picture.data[4 * pixel + part] = back[part] + strong * (on[part] - back[part])
        + weak * (off[part] - back[part]);
    picture.data[4 * pixel + 3] = 255;
  }
  pen.putImageData(picture, 0, 0);
  say("size", `${width} × ${height} pixels`);
}
export function drawAnswer({ scores, prediction, class_names: names, score_unit: unit }) {
  const low = Math.min(0, ...scores), range = Math.max(0, ...scores) - low || 1;
  const long = names.some((name) => name.length > 3) ? "long" : "";
  byId("bars").replaceChildren(...scores.map((score, index) => {
    const bar = element("div", "", `bar ${long} ${index === prediction ? "best" : ""}`);
    const track = element("i"), fill = element("b");
    fill.style.left = `${100 * (Math.min(0, score) - low) / range}%`;
    fill.style.width = `${100 * Math.abs(score) / range}%`;
    track.append(fill);
    bar.append(element("span", names[index]), track, element("span", si(score)));
    return bar;
  }));
  say("prediction", names[prediction] ?? "–");
  byId("prediction").className = long;
  say("score", prediction >= 0 ? `${si(scores[prediction])} ${unit}` : "No answer now");
  say("unit", `Score of each class in the latest answer: ${unit}`);
}
export function drawHeat({ class_names: names, prediction, seconds, score_unit: unit }, { recent }) {
  const all = recent.flatMap((old) => old.scores);
  const low = all.reduce((least, score) => Math.min(least, score), 0);
  const high = all.reduce((most, score) => Math.max(most, score), low + 1e-9);
  const tall = names.length <= 26, longest = Math.max(...names.map((name) => name.length));
  const { pen, plot, at } = axes("heat", tall ? 20 + 6 * Math.min(11, longest) : 8, seconds);
  const step = plot.height / names.length;
  pen.fillStyle = colour("answer");
  for (const old of recent) {
    // Whole pixels, so that neighbours neither overlap nor leave a gap.
    const left = Math.round(Math.max(plot.left, at(old.seconds - old.interval_s)));
    const right = Math.round(at(old.seconds));
    old.scores.forEach((score, line) => {
      pen.globalAlpha = (score - low) / (high - low);
      pen.fillRect(left, plot.top + line * step + 1, right - left, Math.max(1, step - 2));
    });
  }
  pen.globalAlpha = 1;
  if (tall) names.forEach((name, line) => label(pen, name, plot.left - 6,
    plot.top + (line + 0.5) * step, "right", line === prediction ? "ink" : "soft"));
  say("heat-scale", `Faint is ${si(low)}, full colour ${si(high)} ${unit}`);
}
export function drawActivity({ layers }, { recent }) {
  const rate = (layer) => layer.spikes_per_second / layer.neurons;
  drawLines("activity", layers.map((_, index) => [`curve${index % CURVES}`,
    (old) => rate(old.layers[index])]), recent, { scale: "linear", write: si });
  byId("layers").replaceChildren(...layers.map((layer, index) => {
    const row = element("tr"), name = element("td");
    const key = element("i", "", "key");
    key.style.background = `var(--curve${index % CURVES})`;
    name.append(key, layer.name);
    row.append(name, ...[si(layer.neurons), si(rate(layer)), si(layer.sops_per_second),
      percent(layer.sops_per_second, layer.dense_per_second)].map((text) => element("td", text)));
    return row;
  }));
}
export function drawWork({ layers }, { recent }) {
  const sops = sum(layers, "sops_per_second"), dense = sum(layers, "dense_per_second");
  drawLines("work", [["dense", (old) => sum(old.layers, "dense_per_second")],
    ["executed", (old) => sum(old.layers, "sops_per_second")]], recent, { scale: "log", write: si });
  say("sops", `${si(sops)}/s`);
  say("share", percent(sops, dense));
  say("dense", `${si(dense)} MAC/s`);
  say("executed", `${si(sops)} SOP/s`);
  say("saving", sops > 0 ? `${si(dense / sops)} times fewer than dense` : "No operations now");
}
export const drawLatency = (_, { recent }) => drawLines("latency",
  [["curve0", (old) => old.latency_us.p99], ["curve2", (old) => old.latency_us.p50]], recent,
  { scale: "log", write: duration });
export function drawAccount({ events, faults, queue_capacity: capacity }) {
  const parts = Object.keys(events).filter((name) => name !== "received");
  const number = (name) => {
    const made = element("div", "", name === "dropped" && events[name] ? "warn" : "");
    made.append(element("b", exact(events[name])), element("span", name, "soft"));
    return made;
  };
  byId("account").replaceChildren(number("received"), ...parts.flatMap((name, index) =>
    [element("span", index ? "+" : "="), number(name)]));
  const fill = percent(events.queued, capacity), full = events.queued > 0.8 * capacity;
  say("queue-words", `Queue: ${fill} of ${exact(capacity)} events${full ? ", nearly full" : ""}`);
  byId("queue").className = full ? "warn" : "";
  byId("queue").firstChild.style.width = `${100 * Math.min(1, events.queued / capacity)}%`;
  const troubles = Object.entries(faults).filter(([, count]) => count)
    .map(([name, count]) => `Fault: ${name.replaceAll("_", " ")}, ${exact(count)} so far`);
  if (events.dropped) troubles.unshift(`Dropped: ${exact(events.dropped)} events, `
    + `${percent(events.dropped, events.received)} of those received, never reached the network`);
  byId("troubles").replaceChildren(...troubles.length ? troubles.map((text) =>
    element("li", text, "warn")) : [element("li", "Nothing dropped, no faults", "soft")]);
}


// ---- neurons ----

export function drawNeurons({ layers, seconds }, { maps, recent }) {
  const place = byId("neurons");
  if (place.childElementCount !== layers.length)
    place.replaceChildren(...layers.map(() => {
      const figure = element("figure");
      figure.append(element("figcaption"), element("canvas"));
      return figure;
    }));
  layers.forEach((layer, index) => {
    const [caption, canvas] = place.children[index].children;
    const [channels, ...site] = layer.shape, isMap = site.length > 0;
    caption.textContent = `${layer.name}: ${isMap
      ? `${channels} maps of ${site.join(" × ")}` : `${channels} neurons`}`
      + (shown(recent, index) ? "" : ", too many to show");
    canvas.hidden = !shown(recent, index);
    canvas.className = isMap ? "" : "raster";
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Spikes of the neurons of ${layer.name}`);
    if (isMap && maps[index]) drawMaps(canvas, layer.shape, maps[index]);
    if (!isMap) drawRaster(canvas, channels, index, recent, seconds);
  });
}
const shown = (recent, index) => recent.some((old) => old.layers[index].counts);

// Maps side by side, a line between them, in rows of equal length and of a picture somewhat wider
// than high if that can be.
function columnsOf(channels, height, width) {
  const best = Math.sqrt(1.6 * channels * height / width);
  const far = (columns) => Math.abs(Math.log(columns / best));
  let columns = 1;
  for (let tried = 2; tried <= channels; tried++)
    if (channels % tried === 0 && far(tried) < far(columns)) columns = tried;
  return columns;
}
function drawMaps(canvas, [channels, height, width = 1], { levels, bright }) {
  const columns = columnsOf(channels, height, width);
  const rows = Math.ceil(channels / columns), pen = canvas.getContext("2d");
  [canvas.width, canvas.height] = [columns * (width + 1) - 1, rows * (height + 1) - 1];
  const picture = pen.createImageData(canvas.width, canvas.height);
  const [paper, ink, line] = ["panel", "ink", "line"].map(rgb);
  const put = (x, y, level, back) => {
    const at = 4 * (y * canvas.width + x);
    for (let part = 0; part < 3; part++)
      picture.data[at + part] = back[part] + Math.min(1, level) * (ink[part] - back[part]);
    picture.data[at + 3] = 255;
  };
  for (let y = 0; y < canvas.height; y++)
    for (let x = 0; x < canvas.width; x++) put(x, y, 0, line);
  for (let channel = 0, at = 0; channel < channels; channel++) {
    const left = (channel % columns) * (width + 1), top = Math.floor(channel / columns) * (height + 1);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) put(left + x, top + y, levels[at++] / bright, paper);
  }
  pen.putImageData(picture, 0, 0);
}
// A row a neuron, or several where they are many; the latest on the right.
function drawRaster(canvas, neurons, index, recent, now) {
  const rows = Math.min(neurons, ROWS), pen = canvas.getContext("2d");
  [canvas.width, canvas.height] = [COLUMNS, rows];
  const most = Math.max(1, ...recent.map((old) => old.layers[index].most ?? 0));
  const column = (seconds) => Math.round(COLUMNS * (1 + (seconds - now) / HISTORY_S));
  pen.fillStyle = colour("ink");
  for (const old of recent) {
    const { counts } = old.layers[index];
    if (!counts) continue;
    const left = Math.max(0, column(old.seconds - old.interval_s)), right = column(old.seconds);
    for (let neuron = 0; neuron < neurons; neuron++) {
      if (!counts[neuron]) continue;
      pen.globalAlpha = 0.1 + 0.9 * counts[neuron] / most;
      pen.fillRect(left, Math.floor(neuron * rows / neurons), Math.max(1, right - left), 1);
    }
  }
}

// ---- how a recording is played ----

export function drawPlayer({ playback, ended }) {
  byId("player").hidden = !playback;
  if (!playback) return;
  const { paused, pace, at_us: at, length_us: length } = playback;
  say("pause", paused ? "Play" : "Pause");
  byId("pause").disabled = byId("pace").disabled = ended;
  byId("pace").parentElement.hidden = pace === null;
  if (pace !== null) byId("pace").value = String(pace);
  byId("progress").hidden = length === null;
  if (length === null) return;
  byId("progress").value = ended ? 1 : at / length;
  const place = ended ? length : at;
  say("position", `${(place / 1e6).toFixed(2)} of ${(length / 1e6).toFixed(2)} s`);
}
