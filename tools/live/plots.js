// Words, numbers, colours, and plots over time. What a snapshot says is set as text, never as markup.

export const HISTORY_S = 10;

export const byId = (id) => document.getElementById(id);
export const say = (id, text) => { byId(id).textContent = text; };
export const sum = (rows, field) => rows.reduce((total, row) => total + row[field], 0);

export const colour = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
export const rgb = (name) =>
  [1, 3, 5].map((at) => parseInt(colour(name).slice(at, at + 2), 16));

export function si(value) {
  if (value === null || !Number.isFinite(value)) return "–";
  const size = Math.max(1, Math.abs(value)), power = Math.min(4, Math.floor(Math.log10(size) / 3));
  const digits = Number((value / 1000 ** power).toPrecision(3));
  return `${digits} ${["", "k", "M", "G", "T"][power]}`.trim();
}
export function duration(us) {
  if (us === null) return "–";
  const [value, unit] = us < 1e3 ? [us, "µs"] : us < 1e6 ? [us / 1e3, "ms"] : [us / 1e6, "s"];
  return `${Number(value.toPrecision(3))} ${unit}`;
}
export const percent = (part, all) => all ? `${Number((100 * part / all).toPrecision(3))} %` : "–";
export const exact = (count) => count.toLocaleString("en-US");

export function element(tag, text = "", kind = "") {
  return Object.assign(document.createElement(tag), { textContent: text, className: kind });
}

// Returns a pen, the place of the plot, and where a time is in it; `now` is on the right.
export function axes(id, left, now) {
  const canvas = byId(id), { width, height } = canvas.getBoundingClientRect();
  const pen = canvas.getContext("2d");
  canvas.width = Math.round(width * devicePixelRatio);
  canvas.height = Math.round(height * devicePixelRatio);
  pen.scale(devicePixelRatio, devicePixelRatio);
  pen.font = "11px system-ui, sans-serif";
  const plot = { left, top: 8, width: width - left - 8, height: height - 28 };
  const at = (seconds) => plot.left + plot.width * (1 + (seconds - now) / HISTORY_S);
  label(pen, `${HISTORY_S} s ago`, plot.left, height - 8, "left");
  label(pen, "now", plot.left + plot.width, height - 8, "right");
  return { pen, plot, at };
}
export function label(pen, text, x, y, align, ink = "soft") {
  Object.assign(pen, { fillStyle: colour(ink), textAlign: align, textBaseline: "middle" });
  pen.fillText(text, x, y);
}
// Draws a line for each [colour, snapshot -> value].
export function drawLines(id, lines, recent, { scale, write }) {
  const { pen, plot, at } = axes(id, 52, recent.at(-1).seconds), log = scale === "log";
  const drawn = (value) => value !== null && Number.isFinite(value) && (!log || value > 0);
  const values = lines.flatMap(([, value]) => recent.map(value)).filter(drawn);
  const ticks = values.length === 0 ? [] : log ? decades(values) : rounded(values);
  const place = (value) => log ? Math.log10(value) : value;
  const [low, high] = [place(ticks[0]), place(ticks.at(-1))];
  const up = (value) => plot.top + plot.height * (1 - (place(value) - low) / (high - low));
  for (const tick of ticks) {
    pen.fillStyle = colour("line");
    pen.fillRect(plot.left, Math.round(up(tick)), plot.width, 1);
    label(pen, write(tick), plot.left - 6, up(tick), "right");
  }
  pen.lineWidth = 1.75;
  pen.lineJoin = "round";
  for (const [ink, value] of lines) {
    pen.strokeStyle = colour(ink);
    pen.beginPath();
    let joined = false; // a value that cannot be drawn is a gap
    for (const old of recent) {
      const here = value(old);
      if (drawn(here)) pen[joined ? "lineTo" : "moveTo"](at(old.seconds), up(here));
      joined = drawn(here);
    }
    pen.stroke();
  }
}
function decades(values) {
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))));
  const step = Math.ceil((high - low) / 4), ticks = [];
  for (let power = low; power < high + step; power += step) ticks.push(10 ** power);
  return ticks;
}
function rounded(values) {
  const most = Math.max(...values) || 1, power = 10 ** Math.floor(Math.log10(most));
  const top = [1, 2, 4, 6, 8, 10].map((digit) => digit * power).find((end) => end >= most);
  return [0, top / 2, top];
}
