"""
Follow a live stream
====================

A session takes events in packets of any size and answers while they arrive. Here five digits come
one after the other, at the pace at which they happened; a camera or a socket (`es.open_source`) is
followed in the same way. Where there is a screen, a window shows sensor and scores while they come.
"""

import matplotlib.pyplot as plt
import numpy as np

import eventsim as es
from eventsim.colours import mixed
from eventsim_bridge import TrainingSettings, open_dataset, train

dataset = open_dataset("digits")
settings = TrainingSettings("128FC-10", dt_us=10_000, steps=30, epochs=2, learning_rate=2e-3)
network = train(dataset, settings, progress=False).network()

packets = [dataset.test[index][0].copy() for index in range(5)]
for number, events in enumerate(packets):
    events["t"] += np.uint64(number * 400_000)  # microseconds
np.save("live_stream.npy", np.concatenate(packets))

figure, (sensor, scores) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
on_screen = plt.get_backend().lower() != "agg"
image, times, seen = np.zeros((2, 34, 34)), [], []  # the image of OFF, and of ON
session = es.Session(network, window_us=100_000, hop_us=20_000)
with es.open_source("live_stream.npy", pace=1.0) as source:  # as fast as it happened
    for step in (stream := es.Stream(source, session)):
        events = step.events
        np.add.at(image, (events["on"].astype(int), events["y"], events["x"]), 1 / 3)
        for answer in step.answers:
            times.append(answer.t_us / 1e6)
            seen.append(answer.scores)
            image *= 0.7
        if step.answers and (on_screen or len(times) == 4):
            off, on = np.minimum(1, image)
            sensor.imshow(mixed(on, off))  # ON is blue, OFF orange
            sensor.set(title=f"sensor at {times[-1]:.1f} s, answer {answer.prediction}")
            scores.cla()
            scores.imshow(np.transpose(seen), aspect="auto", extent=(0, times[-1], 9.5, -0.5))
            plt.pause(0.001)
print(stream.account())
print(f"{len(times)} answers, {session.operations.total.sops:,} SOPs")
scores.imshow(np.transpose(seen), aspect="auto", extent=(0, times[-1], 9.5, -0.5))
scores.set(title="spikes of each class in 100 ms", xlabel="time (s)", yticks=range(10))
for number, label in enumerate(dataset.test.labels[:5]):
    scores.text(0.4 * number + 0.15, label, "o", color="w", ha="center", va="center")
plt.savefig("live_stream.png", dpi=120)
