"""
Run a network of snntorch
=========================

A model that was built in snntorch becomes an eventsim network in one line, and runs with the same
spikes. `compare` proves it, spike by spike. The same line takes models of spikingjelly, norse and
sinabs. The picture sets the spikes of both sides beside each other.
"""

import matplotlib.pyplot as plt
import snntorch as snn
import torch

from eventsim_bridge import compare, from_torch, open_dataset

torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Conv2d(2, 8, 5, stride=2),
    snn.Leaky(beta=0.9, threshold=0.3, init_hidden=True),
    torch.nn.Flatten(),
    torch.nn.Linear(8 * 15 * 15, 10),
    snn.Leaky(beta=0.9, threshold=0.3, init_hidden=True),
)
network = from_torch(model, input_shape=(2, 34, 34), dt_us=5000)
for layer in network.layers:
    print(type(layer).__name__, getattr(layer, "neuron", ""))

recordings = [events for events, _ in open_dataset("digits").test][:20]
agreement = compare(model, network, recordings)
for layer in agreement.layers:
    print(f"{layer.name}: {layer.torch_spikes} spikes in snntorch, {layer.engine_spikes} here,")
    print(f"  {layer.differing} differ, {layer.origins} of them first")

figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
places = range(len(agreement.layers))
theirs = [layer.torch_spikes for layer in agreement.layers]
ours = [layer.engine_spikes for layer in agreement.layers]
axes.bar([at - 0.2 for at in places], theirs, 0.4, label="snntorch", color="C7")
axes.bar([at + 0.2 for at in places], ours, 0.4, label="eventsim", color="C0", hatch="//")
for at, layer in zip(places, agreement.layers, strict=True):
    axes.text(at, layer.torch_spikes, f"{layer.differing} differ", ha="center", va="bottom")
axes.set(yscale="log", ylabel="spikes in 20 recordings")
axes.set_xticks(places, [layer.name for layer in agreement.layers])
axes.legend()
plt.savefig("snntorch_network.png", dpi=120)
