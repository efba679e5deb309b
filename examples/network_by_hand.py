"""
Write a network by hand
=======================

Two neurons tell which way something passes eight light sensors in a row. Delays let what moves
along the row arrive together, at one neuron what moves to the right, at the other what moves to the
left. The detector has three layers and no training, and its input comes from no camera.
"""

import matplotlib.pyplot as plt
import numpy as np

import eventsim as es

SENSORS, LAG = 8, 3  # timesteps that it takes from one sensor to the next
row = np.arange(SENSORS)
weights = np.zeros((2, 2 * SENSORS))
weights[0, :SENSORS] = weights[1, SENSORS:] = 1.0
network = es.Network(
    input_shape=(SENSORS,),
    dt_us=1000,
    layers=[
        es.Concatenate(sources=(-1, -1)),  # the input twice, one copy for each neuron
        es.Delay((*(LAG * row[::-1]), *(LAG * row))),  # timesteps, of each sensor and copy
        es.Dense(weights, neuron=es.LIF(decay=0.6, threshold=4.5)),
    ],
    class_names=["right", "left"],
)

passing = np.append(20 + LAG * row, 90 + LAG * row)  # at sensors 0 to 7, then 7 to 0
there = np.append(row, row[::-1])
noise = np.random.default_rng(0).integers(0, [[150], [SENSORS]], (2, 60))
times, units = np.append(passing, noise[0]), np.append(there, noise[1])
order = np.argsort(times, kind="stable")
spikes = es.from_spikes(1000 * times[order], units[order], (SENSORS,), dt_us=1000, steps=150)
result = es.simulate(network, spikes, record_spikes=True, probe=["membranes"])
total = result.operations.total
print(f"{total.input_events} events in, {total.sops} SOPs of {total.dense_macs} dense")
for step, neuron, _, _ in result.spikes[-1]:
    print(f"at {step} ms: {network.class_names[neuron]}")

probes = result.probes["layer 2 (Dense)"]
figure, (top, below) = plt.subplots(2, 1, sharex=True, figsize=(7, 4.5), layout="constrained")
top.plot(*noise, "|", ms=9, color="C7")
top.plot(passing, there, "|", ms=9, color="C2", mew=2)
top.set(ylabel="sensor", title="what passes, and noise")
for neuron, name in enumerate(network.class_names):
    below.plot(probes["membranes"][:, neuron], label=name, ls="-" if neuron == 0 else "--")
    fired = result.spikes[-1][result.spikes[-1][:, 1] == neuron, 0]
    below.plot(fired, [4.5] * len(fired), "*", ms=12, color=f"C{neuron}")
below.axhline(4.5, color="C7", lw=0.8)
below.set(xlabel="time (ms)", ylabel="membrane", title="two neurons, their threshold and spikes")
below.legend()
plt.savefig("network_by_hand.png", dpi=120)
