"""What there is to know of a live run: steps of a `Stream` in, snapshots and accounts out.

A snapshot tells what happened since the one before, for `screen.py` and the page; the account
tells what happened since the beginning, for JSON lines and the summary. Both are dicts of JSON
types.
"""

from __future__ import annotations

import base64
import math
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from eventsim.live.stream import Step, Stream

MOST_NEURONS = 2**16  # of a layer, that a page is told one by one
# What a session or source counts that is no fault.
NO_FAULTS = (
    "received", "processed", "duplicates", "datagrams", "connections", "clock_wraps", "wraps",
)  # fmt: skip


class Monitor:
    """Watches a stream.

    network, source: names of the network's file and of the source, to be shown. span_us: times of
    the first and the last event of a recording, where they are known.
    """

    def __init__(
        self, stream: Stream, network: str, source: str, span_us: tuple[int, int] | None = None
    ) -> None:
        """Begin now."""
        from eventsim.events.arrays import camera_of
        from eventsim.live.event_image import EventImage
        from eventsim.live.stream import Latencies

        self._stream, self._names = stream, {"network": network, "source": source}
        net = stream.session.network
        camera = camera_of(net.input_shape)
        self._image = EventImage(camera.width, camera.height)
        self._class_names = net.class_names or tuple(map(str, range(net.outputs)))
        self._shapes = [net.shapes[index + 1] for index in net.neuron_layers]
        self._span_us = span_us
        self._recent, self._all = Latencies(), Latencies()
        self._answers = 0
        self._scores = [0.0] * net.outputs
        self._prediction = -1
        self._predicted = [0] * (net.outputs + 1)  # the last one: no prediction
        self._start = time.monotonic()
        self._before = self._totals()

    def see(self, step: Step) -> None:
        """Take note of what a step did."""
        if len(step.events) > 0:
            self._image.add(step.events)
            self._recent.add(step.latency_ns)
            self._all.add(step.latency_ns)
        if step.answers:
            self._answers += len(step.answers)
            self._scores = step.answers[-1].scores.tolist()
            self._prediction = step.answers[-1].prediction
            for answer in step.answers:
                self._predicted[answer.prediction] += 1

    def answer_lines(self, step: Step) -> list[dict[str, Any]]:
        """Return a document for each answer of a step."""
        return [
            {
                "kind": "answer",
                "t_us": answer.t_us,
                "prediction": answer.prediction,
                "class": None if answer.prediction < 0 else self._class_names[answer.prediction],
                "scores": answer.scores.tolist(),
                "latency_us": step.latency_ns / 1e3 if step.latency_ns else None,
            }
            for answer in step.answers
        ]

    def snapshot(self, *, ended: bool = False) -> dict[str, Any]:
        """Return what has happened since the last snapshot, and how things stand."""
        from eventsim.live.stream import Latencies

        now = self._totals()
        seconds = max(now["seconds"] - self._before["seconds"], 1e-9)
        off, on = self._image.take()
        latencies, self._recent = self._recent, Latencies()
        before, self._before = self._before, now
        session = self._stream.session
        return {
            **self._names,
            "mode": session.mode,
            "class_names": list(self._class_names),
            "seconds": now["seconds"],
            "stream_us": session.latest_us if session.counters["processed"] else -1,
            "interval_s": seconds,
            "events_per_second": (now["processed"] - before["processed"]) / seconds,
            "answers_per_second": (now["answers"] - before["answers"]) / seconds,
            "latency_us": {"p50": latencies.quantile_us(0.5), "p99": latencies.quantile_us(0.99)},
            "events": self._stream.account(),
            "queue_capacity": self._stream.queue.capacity,
            "faults": self._faults(),
            "playback": self._playback(),
            "layers": [
                {
                    "name": layer.name,
                    "neurons": math.prod(shape),
                    "shape": list(shape),
                    "spikes": spikes,
                    "spikes_per_second": (layer.output_spikes - old.output_spikes) / seconds,
                    "sops_per_second": (layer.sops - old.sops) / seconds,
                    "dense_per_second": (layer.dense_macs - old.dense_macs) / seconds,
                }
                for layer, old, shape, spikes in zip(
                    now["layers"], before["layers"], self._shapes, self._spikes(), strict=True
                )
            ],
            "scores": self._scores,
            "score_unit": self._score_unit(),
            "prediction": self._prediction,
            "image": {
                "width": on.shape[1],
                "height": on.shape[0],
                "on": _coded(on),
                "off": _coded(off),
            },
            "ended": ended,
        }

    def account(self) -> dict[str, Any]:
        """Return everything that was counted since the beginning."""
        stream, session = self._stream, self._stream.session
        seconds, events = time.monotonic() - self._start, stream.account()
        return {
            **self._names,
            "mode": session.mode,
            "answer": session.answer,
            "seconds": seconds,
            "events": events,
            "events_per_second": events["processed"] / seconds,
            "answers": self._answers,
            "predictions": dict(zip((*self._class_names, "none"), self._predicted, strict=True)),
            "latency_us": {
                name: self._all.quantile_us(share)
                for name, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0))
            },
            "source_counters": dict(stream.source.counters),
            "filter_counters": dict(stream.filters.counters),
            "session_counters": session.counters,
            "faults": self._faults(),
            "operations": [layer.as_dict() for layer in session.operations.layers],
        }

    def _totals(self) -> dict[str, Any]:
        session = self._stream.session
        return {
            "seconds": time.monotonic() - self._start,
            "processed": session.counters["processed"],
            "answers": self._answers,
            "layers": session.operations.layers,
        }

    def _spikes(self) -> list[str | None]:
        """Return how often each neuron of each layer spiked, as bytes; None where not recorded."""
        import numpy as np

        if not self._stream.session.record_spikes:
            return [None] * len(self._shapes)
        return [
            _coded(np.minimum(counts, 255).astype(np.uint8))
            if counts.size <= MOST_NEURONS
            else None
            for counts in self._stream.session.take_spikes()
        ]

    def _playback(self) -> dict[str, Any] | None:
        """Return where a recording is, and how it is played; None of what comes by itself."""
        playback, span_us = self._stream.source.playback, self._span_us
        if playback is None:
            return None
        length_us = at_us = None
        if span_us is not None:
            length_us = span_us[1] - span_us[0] + 1
            at_us = max(0, self._stream.session.latest_us - span_us[0]) % length_us
        return {
            "pace": playback.pace, "paused": playback.paused, "at_us": at_us,
            "length_us": length_us,
        }  # fmt: skip

    def _score_unit(self) -> str:
        session = self._stream.session
        if session.leak_us is not None:
            return f"spikes, fading over {session.leak_us / 1000:g} ms"
        return f"spikes in {session.window_us / 1000:g} ms"

    def _faults(self) -> dict[str, int]:
        """Return every count of something that went wrong."""
        stream = self._stream
        counters = stream.source.counters | stream.session.counters
        counters["dropped_by_queue"] = stream.queue.dropped
        return {name: count for name, count in counters.items() if name not in NO_FAULTS}


def _coded(counts: NDArray[np.uint8]) -> str:
    return base64.b64encode(counts.tobytes()).decode()
