"""Output spikes at the moments of a stream -> answers: what a window counts, or the leaky score.

Called by `session.py`, with all moments of a packet at once: thousands of answers a second that
were made one by one took half of a core.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..jit import Int64s


@dataclass(frozen=True, eq=False)
class Answer:
    """What the network says at one moment of the stream.

    t_us: on the stream's clock. spike_counts: (outputs,) output spikes in the window that ends
    there. scores: (outputs,) what is compared: these counts, or the leaky score. prediction: the
    output with the highest score, the lowest of equals; -1 where none is above 0.
    """

    t_us: int
    spike_counts: NDArray[np.int64]
    scores: NDArray[np.float64]
    prediction: int


class Windows:
    """The output spikes of the last `window_us` at each moment of a stream.

    leak: what is left of the leaky score from one moment to the next; None: scores are the counts.
    """

    def __init__(self, outputs: int, window_us: int, leak: float | None) -> None:
        """Begin without spikes."""
        self._window_us, self._leak = window_us, leak
        self._in_window = np.zeros(outputs, np.int64)  # at the last moment,
        self._score = np.zeros(outputs)
        self._times = np.empty(16, np.int64)  # and the moments in it, from `_first` to `_stop`
        self._spikes = np.empty((16, outputs), np.int64)
        self._first = self._stop = 0

    def answers(self, times: Int64s, spikes: Int64s) -> list[Answer]:
        """Return an answer for each moment; spikes: (moments, outputs), since the one before."""
        if len(times) == 0:
            return []
        self._append(times, spikes)
        first = self._first
        left = np.searchsorted(self._times[first : self._stop], times - self._window_us, "right")
        gone = np.zeros((int(left[-1]) + 1, spikes.shape[1]), np.int64)
        np.cumsum(self._spikes[first : first + len(gone) - 1], axis=0, out=gone[1:])
        counts = self._in_window + np.cumsum(spikes, axis=0) - gone[left]
        self._first, self._in_window = first + int(left[-1]), counts[-1]
        scores = counts.astype(np.float64)
        if self._leak is not None:
            scores = self._leaky(spikes, self._leak)
        predictions = np.where(scores.max(axis=1) > 0, scores.argmax(axis=1), -1)
        columns = times.tolist(), counts, scores, predictions.tolist()
        return [Answer(*row) for row in zip(*columns, strict=True)]

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what is kept between two calls, for `restore`."""
        recent = slice(self._first, self._stop)
        return {
            "recent/times": self._times[recent], "recent/counts": self._spikes[recent],
            "in_window": self._in_window, "score": self._score,
        }  # fmt: skip

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from where another one, of the same settings, was."""
        self._times, self._spikes = state["recent/times"], state["recent/counts"]
        self._first, self._stop = 0, len(self._times)
        self._in_window, self._score = state["in_window"], state["score"]

    def _append(self, times: Int64s, spikes: Int64s) -> None:
        """Put moments behind those of the window, in longer arrays where there is no room."""
        stop = self._stop + len(times)
        if stop > len(self._times):
            self._times, self._spikes = (
                _longer(array[self._first : self._stop], stop - self._first)
                for array in (self._times, self._spikes)
            )
            self._first, self._stop, stop = 0, self._stop - self._first, stop - self._first
        self._times[self._stop : stop] = times
        self._spikes[self._stop : stop] = spikes
        self._stop = stop

    def _leaky(self, spikes: Int64s, leak: float) -> NDArray[np.float64]:
        """Return the score at each moment, one by one: to the bit the same for any packets."""
        scores = np.empty(spikes.shape)
        for number, row in enumerate(spikes):
            self._score = scores[number] = self._score * leak + row
        return scores


def _longer(kept: NDArray[Any], needed: int) -> NDArray[Any]:
    longer = np.empty((2 * needed, *kept.shape[1:]), kept.dtype)
    longer[: len(kept)] = kept
    return longer
