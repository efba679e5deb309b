"""
Run a network in the integers of a chip
=======================================

Neuromorphic chips compute with whole numbers. `to_fixed_point` gives a trained network weights of 8
bits and neurons as Loihi has them, bit for bit. The picture shows how often each class spikes, as
trained and on the chip. `eventsim train --fixed-point loihi` also searches for the best scales.
"""

import matplotlib.pyplot as plt
import numpy as np

import eventsim as es
from eventsim.network.fixed_point import to_fixed_point
from eventsim_bridge import TrainingSettings, open_dataset, train

dataset = open_dataset("digits")
settings = TrainingSettings("64FC-10", dt_us=20_000, steps=15, epochs=4, learning_rate=2e-3)
network = train(dataset, settings, progress=False).network()
fixed = to_fixed_point(network)
print(network.layers[1].neuron, fixed.layers[1].neuron, sep="\n")

figure, panels = plt.subplots(1, 2, figsize=(8, 4), layout="constrained", sharey=True)
for axes, net, name in zip(panels, (network, fixed), ("float32", "fixed point"), strict=True):
    results = es.simulate_batch(net, (events for events, _ in dataset.test))
    right = np.mean([result.prediction for result in results] == dataset.test.labels)
    sops = np.mean([result.operations.total.sops for result in results])
    counts = np.array([result.spike_counts for result in results])
    means = [counts[dataset.test.labels == label].mean(axis=0) for label in range(10)]
    axes.imshow(means, vmin=0)
    axes.set(title=f"{name}: {right:.1%} right", xlabel="output neuron", xticks=range(10))
    print(f"{name}: {right:.1%} right, {sops:,.0f} SOPs a sample")
panels[0].set(ylabel="spikes for this digit", yticks=range(10))
plt.savefig("fixed_point.png", dpi=120)
