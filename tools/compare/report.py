"""results.json -> report.html: which tables and plots stand where, and what they are said to be."""

from __future__ import annotations

from typing import Any

from . import figures, page
from .page import paragraph, plot, table
from .plan import Plan, Point

Document = dict[str, Any]

_FEATURES = (
    "Weights of the first layer, those with the largest norm (ON minus OFF; of the LSTM the "
    "weights into its candidate g), and what the layer gives for the first test recording; an "
    "ANN sees one frame. Seed 0."
)


def report_html(plan: Plan, results: Document, features: str) -> str:
    """Return the page; `features` is the <svg> of `features.draw_features`."""
    summary, middle = results["summary"], plan.middle()
    rows = summary["rows"]
    at_middle = [row for row in rows if (row["dt_us"], row["steps"]) == tuple(middle)]
    samples = results["test_recordings"]
    sections = [
        ("Settings", _settings(results) + page.rates_table(summary["learning_rates"])),
        ("Accuracy", _accuracy(rows)),
        ("Temporal resolution", _resolution(plan, rows)),
        ("Temporal contrast", _contrast(plan, results)),
        ("Generalisation", _generalisation(plan, results, middle, samples)),
        ("Features", paragraph(_FEATURES, note=True) + plot(features)),
        ("Computation", _computation(at_middle, middle, results)),
        ("On equal terms", _equal_terms(summary, middle)),
        ("Parameters and memory", table(
            "Weights and biases, and what goes from timestep to timestep, as 32-bit words.",
            page.SIZES, at_middle + summary["same_structure"])),
    ]  # fmt: skip
    title = f"SNN, RNN, LSTM and ANN on {plan.data}: {plan.structure}"
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return page.page(title, sections, f"Made by eventsim compare; {versions}.")


def _settings(results: Document) -> str:
    plan = results["plan"]
    words = ", ".join(f"{name} {value}" for name, value in plan.items() if value is not None)
    return paragraph(
        f"The same for all models: {words}. Frames are binary, the ANN's sum up counts; Adam "
        f"and backpropagation through time over all timesteps, mean squared error; the epoch with "
        f"the best validation accuracy is kept, and the test set was read only after training."
    ) + paragraph(
        f"{results['training_recordings']} recordings for training and validation, "
        f"{results['test_recordings']} for testing. SNN: LIF, decay 0.3, threshold 0.3, class by "
        f"spike count. RNN: tanh. LSTM: input, forget, output gates. \"last\" reads the class from "
        f"the last timestep, \"rate-inspired\" from the mean of all. Hidden layers of RNN and LSTM "
        f"are scaled to the SNN's number of parameters. ANN: the SNN's structure with ReLUs, "
        f"weights and activations of 8 bits, one inference on a frame of all events of the window."
    )  # fmt: skip


def _accuracy(rows: list[Document]) -> str:
    return table(
        "Measured on the test set. Interval: Wilson, for the mean accuracy on so many recordings.",
        page.ACCURACY,
        rows,
    )


def _resolution(plan: Plan, rows: list[Document]) -> str:
    panels = (
        ("accuracy (bars: Wilson 95 %, band: seeds)", lambda row: row["accuracy"], False),
        ("firing rate of the SNN", lambda row: row.get("firing_rate"), False),
        ("synaptic operations a sample", lambda row: row["total"]["sops"], True),
    )
    html = ""
    families = (
        (f"{plan.steps} timesteps each", plan.fixed_steps()),
        ("the same duration each", plan.fixed_duration()),
    )
    for words, points in families:
        if len(points) > 1:
            html += paragraph(f"With {words}; measured.", note=True)
            html += plot(figures.against_dt(rows, points, panels))
    spiking = [row for row in rows if row["model"] == "snn"]
    return html + page.spiking_table(spiking)


def _contrast(plan: Plan, results: Document) -> str:
    definition = paragraph(
        "Contrast of two slices that follow each other: the share of their active cells that are "
        "active in one of them alone (Jaccard distance), mean over the test recordings. Activity: "
        "the share of input cells with an event.",
        note=True,
    )
    points = plan.fixed_steps()
    rows = results["summary"]["rows"]
    return definition + plot(figures.contrast_plot(results["contrast"], rows, points))


def _generalisation(plan: Plan, results: Document, middle: Point, samples: int) -> str:
    html = paragraph(
        "Trained at one grid point, tested at every other; accuracy in percent, mean of the seeds, "
        "and Wilson's 95 % interval for it.",
        note=True,
    )
    html += plot(figures.matrices(results["summary"]["generalisation"], plan.points(), samples))
    html += paragraph(
        f"Training at {middle.words}, a line a seed. Validation recordings are held out from "
        f"training; the bar is Wilson's 95 % interval of the epoch that is kept.",
        note=True,
    )
    return html + plot(figures.curves(results["cells"], middle))


def _computation(at_middle: list[Document], middle: Point, results: Document) -> str:
    with_readings = [line for row in at_middle for line in page.readings(row)]
    html = table(
        f"Per sample at {middle.words} timesteps, mean over test recordings and seeds. Operations "
        f"are measured: zero inputs cost nothing, in all models. Pools: RNN (behind its first "
        f"layer), LSTM and ANN pool first, the engine adds the rows of each spike: where that "
        f"differs the SNN has both readings.",
        page.COMPUTATION,
        with_readings,
    )
    html += page.energies_table(
        "Modelled energy per sample in nJ, and the range of its ratio to the SNN's over all models "
        "that have both and both readings of pools: no ratio of energies holds without its model. "
        "First as trained, the ANN with weights and values of 8 bits and sums of 32 bits, the "
        "others with 32-bit floats; then as the other, against an SNN as the other too, whose "
        "accuracy is not measured. The range of the first has all of these. A dash: the machine "
        "has no such operations.",
        [line for row in with_readings for line in page.widths(row)],
        results["energy_models"],
    )
    html += "".join(
        paragraph(f"{m['name']}: {m['title']}. {m['source']}. Without {m['leaves_out']}.", True)
        for m in results["energy_models"]
    )
    return html + plot(figures.computation(at_middle)) + page.layers_table(at_middle)


def _equal_terms(summary: Document, middle: Point) -> str:
    equal = summary["equal_accuracy"]
    html = table(
        f"Equal accuracy: the cheapest grid point of each model, by the first energy model, whose "
        f"mean validation accuracy is at least {100 * equal['validation_accuracy']:.2f} %, the "
        f"best of the least accurate.",
        page.ON_EQUAL_TERMS,
        equal["rows"],
    )
    if summary["same_structure"]:
        html += table(
            f"The same structure, with more parameters than the SNN, at {middle.words}.",
            page.ON_EQUAL_TERMS,
            summary["same_structure"],
        )
    return html
