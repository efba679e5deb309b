"""
Train on recordings of your own
===============================

A folder with one folder for each class is a data set, in whatever format the recordings are. Here
the recordings are made first: outlines of three shapes, seen by a camera that trembles. The picture
shows one of each with the answer of the trained network.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import eventsim as es
from eventsim_bridge import TrainingSettings, open_dataset, train

SHAPES = {"circle": 0.0, "square": 1.0, "star": -0.6}  # how far the corners stick out
rng = np.random.default_rng(0)
for number in range(120):
    name, corners = list(SHAPES.items())[number % 3]
    t = np.sort(rng.integers(0, 100_000, 300))  # microseconds
    angle = rng.random(300) * 2 * np.pi
    radius = 5 * (1 + 0.4 * corners * np.sin(2 * angle) ** 2)
    trembling = np.sin(t / 8000), np.cos(t / 8000)
    x = np.rint(9.5 + rng.normal(0, 0.3) + radius * np.cos(angle) + trembling[0]).astype(int)
    y = np.rint(9.5 + rng.normal(0, 0.3) + radius * np.sin(angle) + trembling[1]).astype(int)
    folder = Path("own", name)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{number:03d}.npy", es.make_events(t, x, y, rng.integers(0, 2, 300)))

dataset = open_dataset("folder", "own")  # as `eventsim train --data folder --root own` does
settings = TrainingSettings("64FC-3", dt_us=10_000, steps=10, epochs=5, learning_rate=5e-3)
trained = train(dataset, settings, progress=False)
network = trained.network()
results = es.simulate_batch(network, (events for events, _ in dataset.test))
right = sum(r.prediction == label for r, label in zip(results, dataset.test.labels, strict=True))
print(f"trained on {trained.training_recordings}, {right} of {len(results)} tested are right")

figure, panels = plt.subplots(1, 3, figsize=(9, 3.4), layout="constrained")
for axes, name in zip(panels, dataset.class_names, strict=True):
    index = [dataset.class_names[label] for label in dataset.test.labels].index(name)
    events = dataset.test[index][0]
    shown = axes.scatter(events["x"], events["y"], c=events["t"] / 1000, s=6)
    answer = network.class_names[results[index].prediction]
    axes.set(title=f"{dataset.test.names[index]}: {answer}", aspect="equal")
    axes.invert_yaxis()
figure.colorbar(shown, label="ms")
plt.savefig("own_folder.png", dpi=120)
