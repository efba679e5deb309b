"""
Compare SNN, RNN and LSTM
=========================

Three networks learn the same recordings: a spiking one, a vanilla RNN and an LSTM, of about as many
parameters. What each executes on the test recordings is counted by the same rules, zeros skipped in
all of them. An operation is an AC where a weight is only added, and a MAC where it is multiplied
first. `eventsim compare` does this for many timesteps and seeds, and writes a report.
"""

import matplotlib.pyplot as plt
import numpy as np

import eventsim as es
from eventsim_bridge import (
    TrainingSettings,
    bin_split,
    count_operations,
    evaluate,
    open_dataset,
    train,
)

DT_US, STEPS = 20_000, 15
dataset = open_dataset("digits")
tested = bin_split(dataset.test, DT_US, STEPS)
rows = []
for model, structure in (("snn", "64FC-10"), ("rnn", "62FC-10"), ("lstm", "16FC-10")):
    settings = TrainingSettings(structure, DT_US, STEPS, model=model, epochs=3, learning_rate=2e-3)
    trained = train(dataset, settings, progress=False)
    accuracy = evaluate(trained.model, tested, loss=settings.loss_name).accuracy
    if model == "snn":
        results = es.simulate_batch(trained.network(), (events for events, _ in dataset.test))
        counted = [result.operations.total for result in results]
        macs = [total.macs for total in counted]
    else:
        frames = tested.frames(np.arange(len(tested)))
        found = count_operations(trained.model, frames, loss=settings.loss_name)
        counted = [operations.total for operations in found]
        macs = [total.macs + total.recurrent_macs for total in counted]
    parameters = sum(weights.numel() for weights in trained.model.parameters())
    acs = np.mean([total.acs for total in counted])
    rows.append((f"{model.upper()} {structure}\n{accuracy:.0%} right", acs, np.mean(macs)))
    print(f"{model}: {parameters:,} parameters, accuracy {accuracy:.1%}, ", end="")
    print(f"{acs:,.0f} ACs and {np.mean(macs):,.0f} MACs a sample")

names, acs, macs = zip(*rows, strict=True)
figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
axes.barh(names, acs, label="ACs: a weight is added", color="C0")
axes.barh(names, macs, left=acs, label="MACs: multiplied, then added", color="C1", hatch="//")
axes.set(xlabel="operations executed in a sample (mean of the test set)")
axes.invert_yaxis()
axes.legend()
plt.savefig("compare_three_models.png", dpi=120)
