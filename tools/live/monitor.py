"""What there is to know of a live run: steps of a `Stream` in, snapshots and accounts out.

A snapshot tells what happened since the one before, for `screen.py` and `page.html`; the account
tells what happened since the beginning, for JSON lines and the summary. Both are dicts of JSON
types.
"""

from __future__ import annotations

import base64
import math
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eventsim.live.stream import Step, Stream

# What a session or source counts that is no fault.
NO_FAULTS = (
    "received", "processed", "duplicates", "datagrams", "connections", "clock_wraps", "wraps",
)  # fmt: skip


class Monitor:
    """Watches a stream. names: of the network's file and of the source, to be shown."""

    def __init__(self, stream: Stream, network: str, source: str) -> None:
        """Begin now."""
        from eventsim.events.arrays import camera_of
        from eventsim.live.event_image import EventImage
        from eventsim.live.stream import Latencies

        self._stream, self._names = stream, {"network": network, "source": source}
        net = stream.session.network
        camera = camera_of(net.input_shape)
        self._image = EventImage(camera.width, camera.height)
        self._class_names = net.class_names or tuple(map(str, range(net.outputs)))
        self._neurons = [math.prod(net.shapes[index + 1]) for index in net.neuron_layers]
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
            "layers": [
                {
                    "name": layer.name,
                    "neurons": neurons,
                    "spikes_per_second": (layer.output_spikes - old.output_spikes) / seconds,
                    "sops_per_second": (layer.sops - old.sops) / seconds,
                    "dense_per_second": (layer.dense_macs - old.dense_macs) / seconds,
                }
                for layer, old, neurons in zip(
                    now["layers"], before["layers"], self._neurons, strict=True
                )
            ],
            "scores": self._scores,
            "prediction": self._prediction,
            "image": {
                "width": on.shape[1],
                "height": on.shape[0],
                "on": base64.b64encode(on.tobytes()).decode(),
                "off": base64.b64encode(off.tobytes()).decode(),
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

    def _faults(self) -> dict[str, int]:
        """Return every count of something that went wrong."""
        stream = self._stream
        counters = stream.source.counters | stream.session.counters
        counters["dropped_by_queue"] = stream.queue.dropped
        return {name: count for name, count in counters.items() if name not in NO_FAULTS}
