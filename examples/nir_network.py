"""
Read a NIR file
===============

NIR files carry networks between frameworks and chips, in continuous time; here one is read in two
ways. Each framework has its own way from continuous time to timesteps, and `as_in` says whose is
meant. The membranes of the neuron tell the two apart.
"""

import matplotlib.pyplot as plt
import nir
import numpy as np

import eventsim as es
from eventsim_bridge import from_nir

one = np.ones(1)
node = nir.LI(tau=0.002 * one, r=one, v_leak=0 * one)  # 2 ms
nir.write("nir_network.nir", nir.NIRGraph.from_list(nir.Linear(np.ones((1, 1))), node))

events = es.make_events(t=[2000, 3000, 9000, 20_000], x=[0] * 4, y=[0] * 4, on=[0] * 4)
figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
for as_in, colour in (("norse", "C0"), ("exact", "C1")):
    read = from_nir("nir_network.nir", dt_us=1000, as_in=as_in, input_shape=(1, 1, 1))
    neuron = read.network.layers[-1].neuron
    print(f"{as_in}: {neuron}", *read.notes, sep="\n  ")
    result = es.simulate(read.network, events, start_us=0, steps=30, probe=["membranes"])
    probes = result.probes["layer 1 (Dense)"]
    label = f"as in {as_in}: decay {neuron.decay:.3f}"
    axes.step(range(30), probes["membranes"].ravel(), where="post", label=label, color=colour)
axes.plot(events["t"] / 1000, [0] * 4, "k^", label="events")
axes.set(xlabel="time (ms)", ylabel="membrane")
axes.legend()
plt.savefig("nir_network.png", dpi=120)
