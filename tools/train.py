"""`eventsim train`: a network by BPTT in torch; a spiking one is exported for the engine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from .closing import say_next
from .help import Brief
from .options import DownloadOption, Parting, with_options, writable
from .reading import Reading
from .report import console, notes, waiting, write_json
from .tested import in_fixed_point, save_tested, save_tested_model

if TYPE_CHECKING:
    from eventsim.network.neurons import Neuron
    from eventsim_bridge.training.checkpoints import Epoch
    from eventsim_bridge.training.loop import Trained


class Grid(NamedTuple):
    """Default length and number of timesteps for a data set."""

    dt_us: int
    steps: int


# N-MNIST: the whole 300 ms. Gestures: T = 60 as in He et al. 2020, 1.2 and 1.5 s.
GRIDS = {
    "digits": Grid(5000, 60),
    "nmnist": Grid(5000, 60),
    "dvsgesture": Grid(20000, 60),
    "gestures": Grid(25000, 60),
}


# Numbers of each neuron; the membrane's decay is that of He et al. 2020.
NUMBERS = {
    "lif": {"decay": 0.3},
    "if": {},
    "cubalif": {"decay": 0.3, "current_decay": 0.5},
    "alif": {"decay": 0.3, "adaptation_decay": 0.9, "adaptation": 0.1},
}


# Recordings of one long motion, of which a network sees a window (He et al. 2020).
WINDOWED = ("dvsgesture", "gestures")

# The panels of `eventsim train --help`.
NETWORK, GRADIENT = Brief("Neurons and weights"), Brief("Gradients and kernels")
TRAINING = "Training"


@with_options
def train(
    data: Annotated[
        str, typer.Option(help="Data set: digits, gestures, nmnist, dvsgesture or folder.")
    ],
    structure: Annotated[str, typer.Option(help='Such as "512FC-10" or "16C3-AP2-128FC-10".')],
    out: Annotated[
        Path,
        typer.Option(
            help="File to write: a network (.h5), or of rnn and lstm a model (.pt).",
            callback=writable,
        ),
    ],
    model: Annotated[
        Literal["snn", "rnn", "lstm"],
        typer.Option(help="Of the same structure: spiking, vanilla recurrent, or LSTM."),
    ] = "snn",
    loss: Annotated[
        Literal["rate", "last", "rate-inspired"] | None,
        typer.Option(
            help="snn: rate, of the spikes. rnn, lstm: last readout (default), or rate-inspired, "
            "the mean of all."
        ),
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the data set.")] = None,
    *,
    download: DownloadOption = False,
    parting: Parting,
    reading: Reading,
    dt_us: Annotated[
        int | None,
        typer.Option(help="Microseconds a timestep; 5000 if not given, for gestures more."),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Timesteps; 60 if not given.")] = None,
    encoding: Annotated[
        Literal["binary", "counts"],
        typer.Option(help="What a cell with events holds: 1 or their number."),
    ] = "binary",
    neuron: Annotated[
        Literal["lif", "if", "cubalif", "alif"],
        typer.Option(
            help="lif leaks, if does not; cubalif has a synaptic current, alif a threshold that "
            "adapts.",
            rich_help_panel=NETWORK,
        ),
    ] = "lif",
    decay: Annotated[
        float | None,
        typer.Option(
            help="Of the membrane in a timestep; 0.3 if not given.", rich_help_panel=NETWORK
        ),
    ] = None,
    current_decay: Annotated[
        float | None,
        typer.Option(help="Of the current of cubalif; 0.5 if not given.", rich_help_panel=NETWORK),
    ] = None,
    adaptation_decay: Annotated[
        float | None,
        typer.Option(help="Of the adaptation of alif; 0.9 if not given.", rich_help_panel=NETWORK),
    ] = None,
    adaptation: Annotated[
        float | None,
        typer.Option(
            help="By which a spike raises alif's threshold; 0.1 if not given.",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="A membrane above it fires.", rich_help_panel=NETWORK)
    ] = 0.3,
    reset: Annotated[
        Literal["zero", "subtract"],
        typer.Option(help="To 0, or by the threshold.", rich_help_panel=NETWORK),
    ] = "zero",
    learn: Annotated[
        str,
        typer.Option(
            help="Of the neurons, besides weights: decay, threshold, or decay,threshold.",
            rich_help_panel=NETWORK,
        ),
    ] = "",
    learn_per: Annotated[
        Literal["layer", "channel"],
        typer.Option(help="One number for each, of those learned.", rich_help_panel=NETWORK),
    ] = "layer",
    no_bias: Annotated[
        bool, typer.Option("--no-bias", help="Weights and no biases.", rich_help_panel=NETWORK)
    ] = False,
    batch_norm: Annotated[
        bool,
        typer.Option(
            "--batch-norm",
            help="Normalise behind each weight layer; folded into the weights at export.",
            rich_help_panel=NETWORK,
        ),
    ] = False,
    weights: Annotated[
        Literal["float32", "int8"],
        typer.Option(
            help="int8: rounded in every step, as eventsim run --weights int8 would, so that the "
            "integers are what is trained.",
            rich_help_panel=NETWORK,
        ),
    ] = "float32",
    fixed_point: Annotated[
        Literal["loihi"] | None,
        typer.Option(
            help="Write the network in a chip's integers, scales chosen on the validation set.",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    epochs: Annotated[
        int, typer.Option(help="Passes over the training set.", rich_help_panel=TRAINING)
    ] = 20,
    batch_size: Annotated[
        int, typer.Option(help="Recordings a step of the optimiser.", rich_help_panel=TRAINING)
    ] = 20,
    learning_rate: Annotated[float, typer.Option(help="Of Adam.", rich_help_panel=TRAINING)] = 5e-4,
    surrogate: Annotated[
        Literal["rectangle", "arctan", "fast-sigmoid"],
        typer.Option(help="Gradient of a spike.", rich_help_panel=GRADIENT),
    ] = "rectangle",
    surrogate_width: Annotated[
        float,
        typer.Option(
            help="Its reach around the threshold; the peak is 1 / (2 width).",
            rich_help_panel=GRADIENT,
        ),
    ] = 0.25,
    seed: Annotated[
        int,
        typer.Option(help="Of weights, validation split and order.", rich_help_panel=TRAINING),
    ] = 0,
    random_start: Annotated[
        bool | None,
        typer.Option(
            "--random-start/--first-event",
            help="Where training begins in a recording; random if not given for gestures only.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        typer.Option(help="auto: a GPU where there is one.", rich_help_panel=TRAINING),
    ] = "auto",
    mixed_precision: Annotated[
        bool,
        typer.Option("--mixed-precision", help="Products in bfloat16.", rich_help_panel=GRADIENT),
    ] = False,
    kernels: Annotated[
        Literal["auto", "sparse", "dense"],
        typer.Option(
            help="sparse: at the cost of the spikes, on the CPU. auto: where they cover the model.",
            rich_help_panel=GRADIENT,
        ),
    ] = "auto",
    sop_budget: Annotated[
        int | None,
        typer.Option(
            help="The most synaptic operations a sample that the network may take, on average of "
            "the validation set.",
            metavar="N",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(
            help="Write loss, accuracy, SOPs and seconds of each epoch; - is stdout.",
            metavar="FILE",
            callback=writable,
            rich_help_panel=TRAINING,
        ),
    ] = None,
) -> None:
    """Train a network with BPTT; the default is spiking, of the paper's LIF, and is exported.

    A killed run leaves OUT.checkpoint, and the same command goes on from it.
    """
    with waiting("loading torch"):
        import eventsim as es
        from eventsim_bridge.training.fixed_point import check_counterpart
        from eventsim_bridge.training.loop import train as train_model
        from eventsim_bridge.training.settings import TrainingSettings

    grid = GRIDS.get(data, GRIDS["digits"])
    settings = TrainingSettings(
        structure,
        grid.dt_us if dt_us is None else dt_us,
        grid.steps if steps is None else steps,
        model=model,
        loss=loss,
        encoding=encoding,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        neuron=make_neuron(
            neuron,
            threshold,
            reset,
            decay=decay,
            current_decay=current_decay,
            adaptation_decay=adaptation_decay,
            adaptation=adaptation,
        ),
        learn=names_in(learn),
        learn_per=learn_per,
        surrogate=surrogate,
        surrogate_width=surrogate_width,
        bias=not no_bias,
        batch_norm=batch_norm,
        mixed_precision=mixed_precision,
        sop_budget=sop_budget,
        weights="loihi" if fixed_point is not None and weights == "int8" else weights,
        random_start=data in WINDOWED if random_start is None else random_start,
    )
    if fixed_point is not None and model != "snn":
        raise es.EventsimError(f"--fixed-point is set with --model {model}, expected snn")
    dataset = reading.resized(reading.data_set(data, root, parting, download=download))
    if fixed_point is not None:
        check_counterpart(settings, dataset)
    checkpoint = out.with_name(out.name + ".checkpoint")
    trained = train_model(dataset, settings, checkpoint=checkpoint, device=device, kernels=kernels)
    if os.environ.get("RANK", "0") != "0":  # another process of torchrun goes on
        return
    if trained.why_dense is not None and model == "snn":
        notes.print(f"trained on torch's dense kernels: {trained.why_dense}", highlight=False)
    if json is not None:
        write_json(history_of(trained), json)
    says = notes if str(json) == "-" else console
    says.print(
        f"Validation accuracy {trained.best.validation_accuracy:.2%} "
        f"({trained.validation_recordings} recordings), best of epoch {trained.best.epoch}"
        + taken_by(trained.best),
        highlight=False,
    )
    if trained.events_late:
        notes.print(
            f"{trained.events_late:,} of {trained.events:,} training events came after the last "
            f"timestep and were not seen.",
            highlight=False,
        )
    if model == "snn":
        chip = fixed_point is not None
        network = in_fixed_point(trained, dataset, says) if chip else trained.network()
        provenance = save_tested(network, dataset, out).provenance
    else:
        provenance = save_tested_model(trained, dataset, out)
    checkpoint.unlink(missing_ok=True)
    if "test_accuracy" in provenance:
        how = f"run {'event by event' if model == 'snn' else 'in torch'}"
        says.print(
            f"Test accuracy {provenance['test_accuracy']:.2%} "
            f"({provenance['test_recordings']} recordings, {how})",
            highlight=False,
        )
    says.print(f"Wrote {out}", highlight=False)
    if model == "snn":
        where = f"--data {data}" + ("" if root is None else f" --root {root}")
        say_next(answers_and_operations=f"run {out} {where}", what_the_network_is=f"inspect {out}")
    else:
        say_next(all_models_side_by_side="compare --help")
    if not trained.best.is_within(sop_budget):
        raise es.EventsimError(
            f"{out} takes {sum(trained.best.validation_sops):,.1f} SOPs a sample on validation, "
            f"expected at most {sop_budget:,} (--sop-budget): no epoch did, and epoch "
            f"{trained.best.epoch} came nearest"
        )


def taken_by(epoch: Epoch) -> str:
    """Return in words what a sample of the validation set takes, where spikes are counted."""
    if not epoch.validation_sops:
        return ""
    first, *behind = epoch.validation_sops
    return (
        f"; {first + sum(behind):,.0f} SOPs a sample, {first:,.0f} of them in the first layer, "
        f"which the input decides"
    )


def history_of(trained: Trained) -> dict[str, Any]:
    """Return what came of each epoch, for JSON; `seconds` are those of training, not of judging."""
    epochs = zip(trained.history, trained.seconds, strict=True)
    return {
        "kernels": "sparse" if trained.why_dense is None else "dense",
        "history": [{**epoch._asdict(), "seconds": seconds} for epoch, seconds in epochs],
    }


def names_in(text: str) -> tuple[Any, ...]:
    """Return the names between commas."""
    return tuple(name.strip() for name in text.split(",")) if text else ()


def make_neuron(
    kind: Literal["lif", "if", "cubalif", "alif"],
    threshold: float,
    reset: Literal["zero", "subtract"],
    **given: float | None,
) -> Neuron:
    """Return the neuron of the options; numbers that are not given are those of `NUMBERS`."""
    import eventsim as es

    own = NUMBERS[kind]
    for name, value in given.items():
        if value is not None and name not in own:
            option = name.replace("_", "-")
            raise es.EventsimError(f"--{option} is {value}, expected none with --neuron {kind}")
    numbers: Any = own | {name: value for name, value in given.items() if value is not None}
    types = {"lif": es.LIF, "if": es.IF, "cubalif": es.CUBALIF, "alif": es.ALIF}
    neuron: Neuron = types[kind](**numbers, threshold=threshold, reset=reset)
    return neuron
