"""
Count the operations of every sample
====================================

How much work a recording is depends on the recording: on its events and on the spikes that they
cause. The counts are exact integers, measured while the network runs, and no average. The picture
shows the synaptic operations (SOPs) of each test recording, and beside them what a dense framework
executes, which is the same for all.
"""

import matplotlib.pyplot as plt
import numpy as np

import eventsim as es
from eventsim_bridge import TrainingSettings, open_dataset, train

dataset = open_dataset("digits")
settings = TrainingSettings("128FC-10", dt_us=10_000, steps=30, epochs=2, learning_rate=2e-3)
network = train(dataset, settings, progress=False).network()
results = es.simulate_batch(network, (events for events, _ in dataset.test))

for layer in results[0].operations.layers:  # of the first recording
    print(f"{layer.name}: {layer.input_events} events in, {layer.sops} SOPs,", end=" ")
    print(f"{layer.updates} updates, {layer.output_spikes} spikes out, {layer.dense_macs} dense")

sops = np.array([result.operations.total.sops for result in results])
events = [result.events for result in results]
dense = results[0].operations.total.dense_macs
print(f"{sops.min():,} to {sops.max():,} SOPs, {sops.mean() / dense:.1%} of dense on average")

figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
shown = axes.scatter(events, sops / 1e3, c=dataset.test.labels, cmap="tab10", s=12)
axes.axhline(dense / 1e3, color="C7", ls="--")
axes.text(max(events), dense / 1e3, "a dense framework, every recording", ha="right", va="bottom")
axes.set(yscale="log", xlabel="events of the recording", ylabel="thousand operations")
figure.colorbar(shown, label="digit", ticks=range(10))
plt.savefig("count_per_sample.png", dpi=120)
