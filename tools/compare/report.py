"""results.json -> report.html and paper/: which tables and plots stand where, and what they are."""

from __future__ import annotations

from typing import Any

from . import figures, page
from .drawing import label_of
from .page import paragraph, points, table
from .parts import Part, Plot
from .plan import Plan, Point

Document = dict[str, Any]

_FEATURES = (
    "Weights of the first layer, those with the largest norm (ON minus OFF; of the LSTM the "
    "weights into its candidate g), and what the layer gives for the first test recording; an "
    "ANN sees one frame. Seed 0."
)


def report_of(plan: Plan, results: Document, features: Plot) -> tuple[str, list[Part]]:
    """Return the page and its parts; `features` is that of `features.draw_features`."""
    summary, middle = results["summary"], plan.middle()
    rows = summary["rows"]
    at_middle = [row for row in rows if (row["dt_us"], row["steps"]) == tuple(middle)]
    samples = results["test_recordings"]
    sections: list[tuple[str, list[Part]]] = [
        ("In short", _in_short(at_middle, middle, summary)),
        ("Settings", [*_settings(plan, results), page.rates_table(summary["learning_rates"])]),
        ("Accuracy", _accuracy(rows)),
        ("Temporal resolution", _resolution(plan, rows)),
        ("Temporal contrast", _contrast(plan, results)),
        ("Generalisation", _generalisation(plan, results, middle, samples)),
        ("Features", [paragraph(_FEATURES, note=True), features]),
        ("Computation", _computation(at_middle, middle, results)),
        ("On equal terms", _equal_terms(summary, middle)),
        ("Parameters and memory", [table(
            "sizes",
            "Weights and biases, and what goes from timestep to timestep, as 32-bit words.",
            page.SIZES, at_middle + summary["same_structure"])]),
    ]  # fmt: skip
    title = f"SNN, RNN, LSTM and ANN on {plan.data}: {plan.structure}"
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    html = page.page(title, sections, f"Made by eventsim compare; {versions}.")
    return html, [part for _, parts in sections for part in parts]


def _in_short(at_middle: list[Document], middle: Point, summary: Document) -> list[Part]:
    """Say what came out, in a sentence for each model, and in one for equal accuracy."""
    snn = next(row for row in at_middle if row["model"] == "snn")
    total, others = snn["total"], [row for row in at_middle if row is not snn]
    said = [
        f"SNN: {_accuracy_of(snn)}. It executes {page.number(total['sops'])} synaptic operations a "
        f"sample, {page.percent(total['sops'] / total['dense_macs'])} of what its dense equivalent "
        f"multiplies, at a firing rate of {page.percent(snn['firing_rate'])}."
    ]
    for row in others:
        said.append(
            f"{label_of(row)}: {_accuracy_of(row)}. It executes "
            f"{page.number(row['total']['sops'])} synaptic operations a sample, and takes "
            f"{page.sensitivity(row)} times the SNN's energy, over all models of energy and ways "
            f"to read them."
        )
    equal = summary["equal_accuracy"]
    cheapest = ", ".join(
        f"{label_of(row)} {page.sensitivity(row)}" for row in equal["rows"] if row["model"] != "snn"
    )
    said.append(
        f"Where each is as accurate on validation as the least accurate at its best "
        f"({page.percent(equal['validation_accuracy'])}), times the SNN's energy: {cheapest}."
    )
    return [paragraph(f"At {middle.words} timesteps, the middle of the grid:"), points(said)]


def _accuracy_of(row: Document) -> str:
    low, high = (100 * end for end in row["wilson_95"])
    return (
        f"accuracy {page.percent(row['accuracy'])} (Wilson 95 %: {low:.1f} - {high:.1f}; "
        f"{row['seeds']} seed{'s' if row['seeds'] > 1 else ''})"
    )


def _settings(plan: Plan, results: Document) -> list[Part]:
    return [paragraph(f"Asked for by: {plan.command()}"), paragraph(
        "The same for all models: frames are binary, the ANN's sum up counts; Adam and "
        "backpropagation through time over all timesteps, mean squared error; the epoch with "
        "the best validation accuracy is kept, and the test set was read only after training."
    ), paragraph(
        f"{results['training_recordings']} recordings for training and validation, "
        f"{results['test_recordings']} for testing. SNN: LIF, decay 0.3, threshold 0.3, class by "
        f"spike count. RNN: tanh. LSTM: input, forget, output gates. \"last\" reads the class from "
        f"the last timestep, \"rate-inspired\" from the mean of all. Hidden layers of RNN and LSTM "
        f"are scaled to the SNN's number of parameters. ANN: the SNN's structure with ReLUs, "
        f"weights and activations of 8 bits, one inference on a frame of all events of the window."
    )]  # fmt: skip


def _accuracy(rows: list[Document]) -> list[Part]:
    return [
        table(
            "accuracy",
            "Measured on the test set. Deviation: the standard deviation of the seeds. Interval: "
            "Wilson, for the mean accuracy on so many recordings.",
            page.ACCURACY,
            rows,
        )
    ]


def _resolution(plan: Plan, rows: list[Document]) -> list[Part]:
    panels = (
        ("accuracy (bars: Wilson 95 %, band: seeds)", lambda row: row["accuracies"], False),
        ("firing rate of the SNN", lambda row: row.get("seed_rates"), False),
        ("synaptic operations a sample", lambda row: row["sops"], True),
    )
    parts: list[Part] = []
    families = (
        ("resolution", f"{plan.steps} timesteps each", plan.fixed_steps()),
        ("resolution-same-duration", "the same duration each", plan.fixed_duration()),
    )
    for name, words, grid in families:
        if len(grid) > 1:
            note = f"With {words}; measured. Lines: mean of the seeds, bands: lowest to highest."
            parts += [paragraph(note, note=True), figures.against_dt(name, rows, grid, panels)]
    spiking = [row for row in rows if row["model"] == "snn"]
    return [*parts, page.spiking_table(spiking)]


def _contrast(plan: Plan, results: Document) -> list[Part]:
    definition = paragraph(
        "Contrast of two slices that follow each other: the share of their active cells that are "
        "active in only one of them (Jaccard distance), mean over the test recordings. Activity: "
        "the share of input cells with an event.",
        note=True,
    )
    rows = results["summary"]["rows"]
    return [definition, figures.contrast_plot(results["contrast"], rows, plan.fixed_steps())]


def _generalisation(plan: Plan, results: Document, middle: Point, samples: int) -> list[Part]:
    tested = paragraph(
        "Trained at one grid point, tested at every other; accuracy in percent, mean of the seeds, "
        "and Wilson's 95 % interval for it.",
        note=True,
    )
    matrices = figures.matrices(results["summary"]["generalisation"], plan.points(), samples)
    trained = paragraph(
        f"Training at {middle.words}, a line a seed. Validation recordings are held out from "
        f"training; the bar is Wilson's 95 % interval of the epoch that is kept.",
        note=True,
    )
    return [tested, matrices, trained, figures.curves(results["cells"], middle)]


def _computation(at_middle: list[Document], middle: Point, results: Document) -> list[Part]:
    with_readings = [line for row in at_middle for line in page.readings(row)]
    counts = table(
        "computation",
        f"Per sample at {middle.words} timesteps, mean over test recordings and seeds. Operations "
        f"are measured: zero inputs cost nothing, in all models. Pools: RNN (behind its first "
        f"layer), LSTM and ANN pool first, the engine adds the rows of each spike: where that "
        f"differs the SNN has both readings.",
        page.COMPUTATION,
        with_readings,
    )
    energies = page.energies_table(
        "Modelled energy per sample in nJ, and the range of its ratio to the SNN's over all models "
        "that have both and both readings of pools: no ratio of energies holds without its model. "
        "First as trained, the ANN with weights and values of 8 bits and sums of 32 bits, the "
        "others with 32-bit floats; then as the other, against an SNN as the other too, whose "
        "accuracy is not measured. The range of the first has all of these. A dash: the machine "
        "has no such operations.",
        [line for row in with_readings for line in page.widths(row)],
        results["energy_models"],
    )
    models = [
        paragraph(f"{m['name']}: {m['title']}. {m['source']}. Without {m['leaves_out']}.", True)
        for m in results["energy_models"]
    ]
    drawn, layers = figures.computation(at_middle), page.layers_table(at_middle)
    return [counts, energies, *models, drawn, layers]


def _equal_terms(summary: Document, middle: Point) -> list[Part]:
    equal = summary["equal_accuracy"]
    parts: list[Part] = [
        table(
            "equal-accuracy",
            f"Equal accuracy: the cheapest grid point of each model, by the first energy model, "
            f"whose mean validation accuracy is at least "
            f"{100 * equal['validation_accuracy']:.2f} %, the best of the least accurate.",
            page.ON_EQUAL_TERMS,
            equal["rows"],
        )
    ]
    if summary["same_structure"]:
        parts.append(
            table(
                "same-structure",
                f"The same structure, with more parameters than the SNN, at {middle.words}.",
                page.ON_EQUAL_TERMS,
                summary["same_structure"],
            )
        )
    return parts
