"""
Look at membranes
=================

`probe` reads the state of neurons after every timestep. Here four models of a neuron get the same
spikes: one that leaks (LIF), one that does not (IF), one whose input is a current that fades
(CUBALIF), and one whose threshold rises with every spike (ALIF).
"""

import matplotlib.pyplot as plt
import numpy as np

import eventsim as es

NEURONS = {
    "LIF": es.LIF(decay=0.9, threshold=1.0),
    "IF": es.IF(threshold=1.0, reset="subtract"),
    "CUBALIF": es.CUBALIF(current_decay=0.7, decay=0.9, threshold=1.0),
    "ALIF": es.ALIF(decay=0.9, threshold=1.0, adaptation_decay=0.97, adaptation=0.3),
}
STEPS = 100
times = np.flatnonzero(np.random.default_rng(1).random(STEPS) < 0.35)
spikes = es.from_spikes(1000 * times, np.zeros_like(times), (1,), dt_us=1000, steps=STEPS)

figure, panels = plt.subplots(4, 1, sharex=True, figsize=(7, 7), layout="constrained")
for axes, (name, neuron) in zip(panels, NEURONS.items(), strict=True):
    network = es.Network((1,), dt_us=1000, layers=[es.Dense([[0.4]], neuron=neuron)])
    wanted = ["membranes", "adaptations"] if name == "ALIF" else ["membranes"]
    result = es.simulate(network, spikes, record_spikes=True, probe=wanted)
    probes = result.probes["layer 0 (Dense)"]
    threshold = 1.0 + probes["adaptations"].ravel() if name == "ALIF" else np.ones(STEPS)
    fired = result.spikes[0][:, 0]
    axes.step(range(STEPS), probes["membranes"].ravel(), where="post")
    axes.step(range(STEPS), threshold, where="post", color="C7", lw=0.8)
    axes.plot(fired, threshold[fired], "k*", ms=9)
    axes.set(ylabel="membrane", title=f"{name}: {len(fired)} spikes", ylim=(-0.1, 2))
    print(f"{name}: {len(times)} spikes in, {len(fired)} out")
panels[-1].plot(times, [-0.05] * len(times), "|", color="C3", ms=8)
panels[-1].set(xlabel="time (ms), with the spikes that come in in red")
plt.savefig("probed_membranes.png", dpi=120)
