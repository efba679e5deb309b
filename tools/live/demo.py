"""What `eventsim view --demo` shows: ten digits, and a small network that reads them.

Both files come with the package, so that it needs neither camera nor file, nor torch.
`python -m eventsim_tools.live.demo` makes them, from the data set `digits`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eventsim_bridge.data.sets import DataSet

NETWORK = Path(__file__).with_name("demo_files") / "network.h5"
RECORDING = NETWORK.with_name("digits.h5")
STRUCTURE, EPOCHS, LEARNING_RATE = "8C3s2-16C3s2-10", 10, 2e-3
EVERY_US = 400_000  # from the beginning of a digit to that of the next


def main() -> None:
    """Train the network, and put the first test recording of each digit behind one another."""
    from eventsim_bridge.datasets import open_dataset
    from eventsim_bridge.training.loop import train
    from eventsim_bridge.training.settings import TrainingSettings

    from ..train import GRIDS, save_tested

    dataset = open_dataset("digits")
    settings = TrainingSettings(
        STRUCTURE, *GRIDS["digits"], epochs=EPOCHS, learning_rate=LEARNING_RATE
    )
    NETWORK.parent.mkdir(exist_ok=True)
    save_tested(train(dataset, settings).network(), dataset, NETWORK)
    _write_digits(dataset)


def _write_digits(dataset: DataSet) -> None:
    import h5py
    import numpy as np

    parts = []
    for label in range(len(dataset.class_names)):
        first = int(np.flatnonzero(dataset.test.labels == label)[0])
        events = dataset.test[first][0].copy()
        events["t"] = events["t"] - events["t"][0] + np.uint64(label * EVERY_US)
        parts.append(events)
    events = np.concatenate(parts)
    with h5py.File(RECORDING, "w") as file:
        group = file.create_group("events")
        for name, kind in (("t", "u4"), ("x", "u1"), ("y", "u1"), ("p", "u1")):
            values = events["on" if name == "p" else name].astype(kind)
            group.create_dataset(name, data=values, compression="gzip", shuffle=True)


if __name__ == "__main__":
    main()
