"""
Train within a budget of operations
===================================

`sop_budget` sets how many synaptic operations (SOPs) a sample may take, as the engine counts them.
Spikes then have a price in training, and the network learns to do with fewer. The events of the
first layer are what they are; saved is what comes behind it.
"""

import matplotlib.pyplot as plt
import numpy as np

import eventsim as es
from eventsim_bridge import TrainingSettings, open_dataset, train

dataset = open_dataset("digits")
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
budget = free = None
for at, share in enumerate((None, 0.5, 0.2)):
    if share is not None:  # of what the free network takes behind its first layer
        budget = int(free[0] + share * sum(free[1:]))
    settings = TrainingSettings(
        "64FC-128FC-10", dt_us=20_000, steps=15, epochs=4, learning_rate=2e-3, sop_budget=budget
    )
    trained = train(dataset, settings, progress=False)
    if share is None:
        free = trained.best.validation_sops
    results = es.simulate_batch(trained.network(), (events for events, _ in dataset.test))
    right = np.mean([r.prediction for r in results] == dataset.test.labels)
    sops = np.mean([[layer.sops for layer in r.operations.layers] for r in results], axis=0)
    name = "no budget" if budget is None else f"budget {budget:,}"
    print(f"{name}: {sops.sum():,.0f} SOPs a sample, {right:.1%} right")
    first = axes.bar(at, sops[0], color="C7")
    behind = axes.bar(at, sops[1:].sum(), bottom=sops[0], color="C0")
    axes.text(at, sops.sum(), f"{right:.0%} right", ha="center", va="bottom")
    axes.text(at, 2000, name, ha="center", color="w")
axes.set(ylabel="SOPs a sample, counted on the test set", xticks=[])
axes.legend([first, behind], ["first layer", "behind it"], loc="lower right")
plt.savefig("operation_budget.png", dpi=120)
