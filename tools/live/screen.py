"""The view of `eventsim stream`: snapshots in, lines of a terminal out.

`show` runs in a process of its own, so that drawing costs the engine nothing.
"""

from __future__ import annotations

import base64
import math
import signal
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group
from rich.live import Live
from rich.style import Style
from rich.text import Text

from eventsim.colours import DARK, mixed

DRAWN_S = 0.125  # from one picture to the next, at least
KEPT = 40  # snapshots in a curve
FADE_S = 0.15  # an event's trace is 1/e after so long
WARNING, DIM, STRONG = "bold yellow", "dim", "bold"
ANSWER = "magenta"  # violet, as in every picture, in the shade of the terminal's own theme
BLOCKS, SIGNS = " ▁▂▃▄▅▆▇█", " .:-=+*%#"
FEWEST = 5  # lines for picture and scores; with less room layers are left out before them


class Screen:
    """What a terminal shows, and what it remembers for that."""

    def __init__(self) -> None:
        """Begin without snapshots."""
        self._last: dict[str, Any] | None = None
        self._events: deque[float] = deque(maxlen=KEPT)
        self._spikes: list[deque[float]] = []
        self._times: deque[float] = deque(maxlen=KEPT)
        self._picture: NDArray[np.float64] = np.zeros((2, 1, 1))  # OFF and ON, fading

    def add(self, snapshot: dict[str, Any]) -> None:
        """Take note of a snapshot."""
        self._last = snapshot
        self._events.append(snapshot["events_per_second"])
        self._times.append(snapshot["seconds"])
        if len(self._spikes) != len(snapshot["layers"]):
            self._spikes = [deque(maxlen=KEPT) for _ in snapshot["layers"]]
        for curve, layer in zip(self._spikes, snapshot["layers"], strict=True):
            curve.append(layer["spikes_per_second"])
        image = snapshot["image"]
        shape = (image["height"], image["width"])
        seen = [np.frombuffer(base64.b64decode(image[name]), np.uint8) for name in ("off", "on")]
        if self._picture.shape[1:] != shape:
            self._picture = np.zeros((2, *shape))
        self._picture *= math.exp(-snapshot["interval_s"] / FADE_S)
        self._picture += np.reshape(seen, (2, *shape))

    def render(self, console: Console) -> Group:
        """Return at most as many lines as the console is high, none longer than it is wide."""
        width, height = console.width, console.height - 1  # the cursor stands below
        last, plain = self._last, console.options.ascii_only
        if last is None:
            return Group(Text("waiting", style=DIM))
        signs = SIGNS if plain else BLOCKS
        below = [self._rates(last, width, signs), *_account(last, width, signs)]
        faults = _faults(last)
        below += [faults] if faults is not None else []
        layers = self._layers(last, width, signs)
        if len(below) + len(layers) + 1 + FEWEST <= height:
            below = [Text(), *layers, Text(), *below]
        room = height - 1 - len(below)
        colours = console.color_system is not None and not console.no_color and not plain
        above = self._above(last, width, room, colours, signs) if room >= FEWEST else []
        lines = [_title(last), *above, *below][:height]
        for line in lines:
            line.no_wrap = True
            if plain:
                line.plain = line.plain.encode("ascii", "replace").decode()
            line.truncate(width, overflow="ellipsis" if not plain else "crop")
        return Group(*lines)

    def _above(
        self, last: dict[str, Any], width: int, room: int, colours: bool, signs: str
    ) -> list[Text]:
        """Return picture and scores, side by side."""
        picture = _picture(self._picture, width // 2, room - 1, colours)
        left = max((line.cell_len for line in picture), default=0) + 3
        scores = _scores(last, width - left, room - 1, signs)
        lines = [Text()]
        for number in range(max(len(picture), len(scores))):
            line = picture[number].copy() if number < len(picture) else Text()
            line.pad_right(left - line.cell_len)
            if number < len(scores):
                line.append_text(scores[number])
            lines.append(line)
        return lines

    def _layers(self, last: dict[str, Any], width: int, signs: str) -> list[Text]:
        """Return a line for each layer under a line of titles."""
        names = [_printable(layer["name"]) for layer in last["layers"]]
        wide = min(max(map(len, names), default=0), max(8, width - 46))
        title = f"{'layer':{wide}}  spikes/s     SOP/s     dense/s  share  "
        lines = [Text(f"{title}spikes/s, last {self._seconds():.0f} s"[:width], style=DIM)]
        for name, layer, curve in zip(names, last["layers"], self._spikes, strict=True):
            sops, dense = layer["sops_per_second"], layer["dense_per_second"]
            share = f"{sops / dense:6.1%}" if dense else "     -"
            line = Text(f"{name[:wide]:{wide}}  {si(layer['spikes_per_second']):>8}  ")
            line.append(f"{si(sops):>8}    {si(dense):>8} {share}  ")
            room = width - line.cell_len
            lines.append(line.append(curve_of(curve, signs, room), style="cyan"))
        return lines

    def _rates(self, last: dict[str, Any], width: int, signs: str) -> Text:
        """Return events per second with their curve, which takes what room is left."""
        latency = last["latency_us"]
        rest = Text(f"  answers/s {si(last['answers_per_second']):>7}  latency ", style=DIM)
        if latency["p50"] is None:
            rest.append("-")
        else:
            rest.append(f"p50 {seconds(latency['p50'])}  p99 {seconds(latency['p99'])}", "not dim")
        line = Text("events/s ", style=DIM)
        line.append(f"{si(last['events_per_second']):>7} ", style="not dim bold")
        room = min(20, width - line.cell_len - rest.cell_len)
        line.append(curve_of(self._events, signs, room), style="not dim cyan")
        return line.append_text(rest)

    def _seconds(self) -> float:
        """Return how long a time the curves show."""
        return self._times[-1] - self._times[0] if self._times else 0.0


def _title(last: dict[str, Any]) -> Text:
    line = Text(_printable(last["network"]), style=STRONG)
    line.append(f" follows {_printable(last['source'])}", style="not bold")
    stream = "-" if last["stream_us"] < 0 else f"{last['stream_us'] / 1e6:.2f} s"
    minutes, second = divmod(int(last["seconds"]), 60)
    clock = f"{minutes // 60:02}:{minutes % 60:02}:{second:02}"
    return line.append(f"   {last['mode']}   {clock}   stream at {stream}", style="not bold dim")


def _account(last: dict[str, Any], width: int, signs: str) -> list[Text]:
    """Return the account of events, and how full the queue is; on two lines if need be."""
    events, capacity = last["events"], last["queue_capacity"]
    line = Text(f"received {events['received']:,}")
    for number, name in enumerate(("processed", "dropped", "filtered", "queued")):
        count = events[name]
        style = WARNING if name == "dropped" and count else ""
        line.append(" = " if number == 0 else " + ", style=DIM).append(f"{name} {count:,}", style)
    full = min(1.0, events["queued"] / capacity)
    filled = math.ceil(full * 10)
    bar = Text("queue ", style=DIM)
    bar.append(f"[{signs[-1] * filled}{' ' * (10 - filled)}]", WARNING if full > 0.5 else "not dim")
    bar.append(f" {full:.0%} of {si(capacity)}")
    if line.cell_len + 3 + bar.cell_len <= width:
        return [line.append("   ").append_text(bar)]
    return [line, bar]


def _faults(last: dict[str, Any]) -> Text | None:
    told = [
        f"{_printable(name).replace('_', ' ')} {count:,}"
        for name, count in last["faults"].items()
        if count
    ]
    return Text(f"went wrong: {', '.join(told)}", style=WARNING) if told else None


def _scores(last: dict[str, Any], width: int, room: int, signs: str) -> list[Text]:
    """Return the prediction, and a bar for each class, or for the best where there are many."""
    scores, names = last["scores"], [_printable(name) for name in last["class_names"]]
    said = names[last["prediction"]] if last["prediction"] >= 0 else "-"
    said_line = Text("says ", style=DIM).append(said, style=f"not dim bold {ANSWER}")
    lines = [said_line.append(f"   {_printable(last['score_unit'])}"), Text()]
    best = sorted(range(len(scores)), key=lambda number: -scores[number])[: max(0, room - 2)]
    wide = min(max((len(names[number]) for number in best), default=0), max(1, width // 3))
    most = max([1.0, *scores])
    for number in sorted(best):
        winner = number == last["prediction"]
        space = max(0, width - wide - 11)
        bar = signs[-1] * round(space * max(0.0, scores[number]) / most)
        line = Text(f"{names[number][:wide]:>{wide}} ", style=STRONG if winner else "")
        line.append(f"{si(scores[number]):>7} ").append(bar, style=ANSWER if winner else "cyan")
        lines.append(line)
    return lines[: max(0, room)]


def _picture(seen: NDArray[np.float64], width: int, room: int, colours: bool) -> list[Text]:
    """Return the sensor, two rows of pixels in a line; made smaller by a whole factor to fit."""
    rows, columns = seen.shape[1:]
    factor = max(1, math.ceil(columns / max(1, width)), math.ceil(rows / max(1, 2 * room)))
    below, beside = -rows % (2 * factor), -columns % factor
    padded = np.pad(seen, ((0, 0), (0, below), (0, beside)))
    cells = padded.reshape(
        2, (rows + below) // factor, factor, (columns + beside) // factor, factor
    ).max(axis=(2, 4))
    off, on = 1 - np.exp(-cells / 2)
    if not colours:
        return [Text("".join(map(_sign, *line))) for line in zip(on[::2], off[::2], strict=True)]
    shades = mixed(on, off, DARK)
    lines = []
    for upper, lower in zip(shades[::2], shades[1::2], strict=True):
        line = Text()
        for above, under in zip(upper, lower, strict=True):
            line.append("▀", Style(color=_rgb(above), bgcolor=_rgb(under)))
        lines.append(line)
    return lines


def _sign(on: float, off: float) -> str:
    if max(on, off) < 0.2:
        return " "
    return "+" if on >= off else "-"


def _rgb(shade: Iterable[int]) -> str:
    return "rgb({},{},{})".format(*shade)


def curve_of(values: Sequence[float], signs: str, room: int) -> str:
    """Return the last values as a line of signs, from 0 to the highest of them."""
    shown = list(values)[-room:] if room > 0 else []
    most = max(shown, default=0.0)
    return "".join(
        signs[math.ceil(max(0.0, value) / most * (len(signs) - 1))] if most > 0 else signs[0]
        for value in shown
    )


def si(value: float) -> str:
    """Return a number in at most 6 signs, such as 1.23 M."""
    if value == round(value) and abs(value) < 1000:
        return f"{value:.0f}"
    for unit in ("", " k", " M", " G", " T"):
        if abs(value) < 999.5:
            digits = (abs(value) < 99.95) + (abs(value) < 9.995)
            return f"{value:.{digits}f}{unit}"
        value /= 1000
    return f"{value:.3g} P"


def seconds(us: float) -> str:
    """Return a time in microseconds with its unit."""
    if us < 999.5:
        return f"{us:.0f} us"
    return f"{us / 1e3:.1f} ms" if us < 999.5e3 else f"{us / 1e6:.1f} s"


def _printable(text: str) -> str:
    """Return a text from elsewhere without what would command a terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def show(frames: Connection) -> None:
    """Draw snapshots as they come, until the last one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the engine, which ends this too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # not without showing the cursor again
    screen, console = Screen(), Console()
    with Live(
        console=console, auto_refresh=False, transient=True, vertical_overflow="crop"
    ) as live:
        try:
            while True:
                snapshots = [frames.recv()]
                while frames.poll():
                    snapshots.append(frames.recv())
                for snapshot in filter(None, snapshots):
                    screen.add(snapshot)
                live.update(screen.render(console), refresh=True)
                if snapshots[-1] is None or snapshots[-1]["ended"]:
                    return
                time.sleep(DRAWN_S)
        except EOFError:
            return
