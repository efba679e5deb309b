"""
Train in your own torch loop
============================

A `SpikingNetwork` is an `nn.Module`: loss, optimiser and loop are yours. Exported, it runs event by
event in the engine, with the spikes that it has in torch. The picture shows one recording, what
each layer makes of it, and the answer.
"""

import matplotlib.pyplot as plt
import torch

import eventsim as es
from eventsim_bridge import SpikingNetwork, bin_split, export_network, open_dataset

torch.manual_seed(0)
dataset = open_dataset("digits")  # scikit-learn's digits under a simulated event camera
recordings = bin_split(dataset.train, dt_us=10_000, steps=30)
model = SpikingNetwork("128FC-10", (2, 34, 34))
optimizer = torch.optim.Adam(model.parameters(), 2e-3)
for epoch in range(2):
    for batch in torch.randperm(len(recordings)).split(20):
        rates = model(recordings.binned(batch.numpy())).mean(dim=1)  # (recordings, classes)
        labels = torch.from_numpy(recordings.labels[batch])
        loss = torch.nn.functional.cross_entropy(10 * rates, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch + 1}: loss {loss.item():.3f}")

network = export_network(model, dt_us=10_000, steps=30)
es.save_network(network, "own_training_loop.h5")
results = es.simulate_batch(network, (events for events, _ in dataset.test))
correct = sum(r.prediction == label for r, label in zip(results, dataset.test.labels, strict=True))
print(f"{correct} of {len(results)} test recordings are right")

events, label = dataset.test[0]
result = es.simulate(network, events, record_spikes=True)
figure, (top, *below) = plt.subplots(3, 1, sharex=True, figsize=(7, 6), layout="constrained")
top.plot((events["t"] - events["t"][0]) / 1000, events["y"], ".", ms=1, color="C7")
top.set(ylabel="y (pixels)", title=f"{len(events):,} events of a {label}")
for axes, layer, spikes in zip(below, result.operations.layers, result.spikes, strict=True):
    axes.plot(spikes[:, 0] * 10, spikes[:, 1], "|", color="C0")
    axes.set(ylabel="neuron", title=f"{layer.name}: {layer.output_spikes} spikes")
axes.set(xlabel="time (ms)", yticks=range(10))
axes.text(0.99, 0.8, f"answer: {result.prediction}", ha="right", transform=axes.transAxes)
plt.savefig("own_training_loop.png", dpi=120)
