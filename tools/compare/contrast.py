"""Temporal contrast: how much the slices of a recording differ from one timestep to the next.

contrast   of two slices that follow each other, the share of their active cells that are active in
           one of them alone (the Jaccard distance): 0 where nothing changes, 1 where everything
           does; the mean over all pairs of which one slice at least has an event
activity   the share of all input cells that are active, over all timesteps
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from eventsim_bridge.data.frames import Recordings

BATCH = 20


def temporal_contrast(recordings: Recordings) -> dict[str, float]:
    """Return contrast and activity of recordings; the contrast of silence is 0."""
    from eventsim_bridge.training.evaluation import batches

    distances: list[float] = []
    active = cells = 0
    for batch in batches(np.arange(len(recordings)), BATCH):
        frames = recordings.frames(batch).flatten(2).numpy() > 0  # (batch, steps, cells)
        active += int(frames.sum())
        cells += frames.size
        before, after = frames[:, :-1], frames[:, 1:]
        either, both = (before | after).sum(axis=2), (before & after).sum(axis=2)
        seen = either > 0
        distances.extend(1 - both[seen] / either[seen])
    contrast = float(np.mean(distances)) if distances else 0.0
    return {"contrast": contrast, "activity": active / cells}
