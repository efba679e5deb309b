"""Random snapshots of live runs, as `tools/live/monitor.py` makes them."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from hypothesis import strategies as st

RATES = st.floats(0, 1e15) | st.sampled_from([0.0, 999.4, 999.6, 1e6])
COUNTS = st.integers(0, 10**15)
NAMES = st.text(max_size=30) | st.sampled_from(["[red]x[/red]", "\x1b[2J", "a\nb", "數字"])


def picture(width: int, height: int, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    off, on = rng.poisson(0.2, (2, height, width)).astype(np.uint8)
    return {
        "width": width,
        "height": height,
        "on": base64.b64encode(on.tobytes()).decode(),
        "off": base64.b64encode(off.tobytes()).decode(),
    }


def snapshot(**changed: Any) -> dict[str, Any]:
    """A snapshot of a run in which all is well."""
    return {
        "network": "net.h5", "source": "udp://127.0.0.1:7777", "mode": "async",
        "class_names": ["left", "middle", "right"], "seconds": 65.0, "stream_us": 64_000_000,
        "interval_s": 0.1, "events_per_second": 1.25e6, "answers_per_second": 100.0,
        "latency_us": {"p50": 190.0, "p99": 1234.0},
        "events": {
            "received": 7000, "processed": 6990, "dropped": 0, "filtered": 10, "queued": 0,
        },
        "queue_capacity": 1000, "faults": {"malformed_datagrams": 0, "backward": 0},
        "layers": [
            {
                "name": f"layer {number} (Dense)", "neurons": 10, "spikes_per_second": 1e4,
                "sops_per_second": 5e6, "dense_per_second": 1e9,
            }
            for number in (1, 2)
        ],
        "scores": [1.0, 40.0, 3.0], "score_unit": "spikes in 100 ms",
        "prediction": 1, "image": picture(9, 6), "ended": False,
        **changed,
    }  # fmt: skip


@st.composite
def snapshots(draw: st.DrawFn) -> dict[str, Any]:
    classes = draw(st.integers(1, 40))
    processed, dropped, filtered, queued = (draw(COUNTS) for _ in range(4))
    return snapshot(
        network=draw(NAMES), source=draw(NAMES),
        class_names=[draw(NAMES) for _ in range(classes)], seconds=draw(st.floats(0, 1e7)),
        stream_us=draw(st.integers(-1, 2**63)), events_per_second=draw(RATES),
        latency_us=draw(
            st.just({"p50": None, "p99": None})
            | st.fixed_dictionaries({"p50": RATES, "p99": RATES})
        ),
        events={
            "received": processed + dropped + filtered + queued, "processed": processed,
            "dropped": dropped, "filtered": filtered, "queued": queued,
        },
        faults={"backward": draw(COUNTS), "system_drops": draw(COUNTS)},
        layers=[
            {
                "name": draw(NAMES), "neurons": 5, "spikes_per_second": draw(RATES),
                "sops_per_second": draw(RATES), "dense_per_second": draw(RATES),
            }
            for _ in range(draw(st.integers(1, 4)))
        ],
        scores=draw(st.lists(RATES, min_size=classes, max_size=classes)),
        prediction=draw(st.integers(-1, classes - 1)),
        image=picture(draw(st.integers(1, 150)), draw(st.integers(1, 150))),
    )  # fmt: skip
