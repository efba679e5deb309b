"""Training of spiking networks: settings, loss, backpropagation through time, checkpoints.

In: a data set (`datasets.py`) and `TrainingSettings`. Out: `Trained`, whose model
`models.export_network` hands to the engine.

The loss is the paper's (He et al. 2020): the mean squared error between the rate of each output
neuron (spikes / timesteps) and the one-hot label. The gradient is that of backpropagation through
time over all timesteps, the optimiser Adam. After each epoch the model is judged on a validation
split, stratified, taken from the training set; the test set is never read. The model of the best
epoch is kept: highest validation accuracy, of equals the lowest validation loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from eventsim.errors import EventsimError
from eventsim.events import INPUT_ENCODINGS, InputEncoding
from eventsim.jit import Int64s
from eventsim.network import Network
from eventsim.neurons import Neuron

from .checkpoints import Epoch, TrainingState
from .datasets import DataSet
from .frames import Recordings, bin_split
from .layers import parse_structure
from .models import (
    PAPER_NEURON,
    SpikingNetwork,
    check_batch_norm,
    export_network,
    predict,
    wake_silent_layers,
)
from .neurons import Surrogate, check_surrogate, check_trainable


class TrainingError(EventsimError):
    """Settings, data set or checkpoint that training cannot use."""


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides what training gives, besides the data.

    structure: in the notation of `layers.py`, such as "512FC-10".
    dt_us, steps: the grid, timesteps of so many microseconds from the first event on.
    encoding: "binary" or "counts", see `eventsim.bin_events`.
    epochs, batch_size, learning_rate: of Adam.
    seed: for initial weights, validation split and order of the recordings.
    validation_share: of the training set, of each class alike.
    neuron, surrogate, surrogate_width, bias, batch_norm: as in `SpikingNetwork`.

    Raises `TrainingError` for a value that cannot work, `StructureError` for the structure.
    """

    structure: str
    dt_us: int
    steps: int
    encoding: InputEncoding = "binary"
    epochs: int = 20
    batch_size: int = 20
    learning_rate: float = 5e-4
    seed: int = 0
    validation_share: float = 0.1
    neuron: Neuron = PAPER_NEURON
    surrogate: Surrogate = "rectangle"
    surrogate_width: float = 0.25
    bias: bool = True
    batch_norm: bool = False

    def __post_init__(self) -> None:
        """Check every field."""
        parse_structure(self.structure)
        check_trainable(self.neuron)
        check_surrogate(self.surrogate, self.surrogate_width)
        check_batch_norm(self.batch_norm, self.bias)
        for name, least in (("dt_us", 1), ("steps", 1), ("epochs", 1), ("batch_size", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise TrainingError(f"{name} is {value!r}, expected a whole number >= {least}")
        if self.batch_norm and self.steps == 1:  # a batch of one recording would be one number
            raise TrainingError("steps is 1, expected 2 or more with batch_norm")
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise TrainingError(f"seed is {self.seed!r}, expected a whole number 0 to 2^63 - 1")
        if not 0 < self.learning_rate < float("inf"):
            raise TrainingError(f"learning_rate is {self.learning_rate}, expected more than 0")
        if not 0 < self.validation_share < 1:
            raise TrainingError(
                f"validation_share is {self.validation_share}, expected between 0 and 1"
            )
        if self.encoding not in INPUT_ENCODINGS:
            raise TrainingError(f"encoding is {self.encoding!r}, expected one of {INPUT_ENCODINGS}")

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as numbers, strings and dictionaries, for JSON."""
        neuron = {"type": type(self.neuron).__name__, **asdict(self.neuron)}
        return {**asdict(self), "neuron": neuron}


@dataclass(frozen=True, eq=False)
class Trained:
    """What training gives: the model of the best epoch, and how it came about."""

    model: SpikingNetwork
    settings: TrainingSettings
    history: tuple[Epoch, ...]
    best: Epoch
    dataset: str
    class_names: tuple[str, ...]
    training_recordings: int  # validation left out
    validation_recordings: int
    events: int  # events of the recordings, and of these:
    events_late: int  # past the last timestep, not seen in training

    def provenance(self) -> dict[str, Any]:
        """Return where the model comes from, for the file of its network."""
        return {
            "dataset": self.dataset,
            "settings": self.settings.as_dict(),
            "best_epoch": self.best.epoch,
            "validation_accuracy": self.best.validation_accuracy,
            "validation_loss": self.best.validation_loss,
            "training_recordings": self.training_recordings,
            "validation_recordings": self.validation_recordings,
            "events": self.events,
            "events_late": self.events_late,
            "torch": torch.__version__,
        }

    def network(self) -> Network:
        """Return the model as a network of the engine, with the settings' grid and encoding."""
        return export_network(
            self.model,
            dt_us=self.settings.dt_us,
            input_encoding=self.settings.encoding,
            steps=self.settings.steps,
            class_names=self.class_names,
            provenance=self.provenance(),
        )


def rate_loss(spikes: Tensor, labels: Tensor) -> Tensor:
    """Return the mean over batch and classes of (spike count / steps - one-hot label)^2.

    `spikes`: (batch, steps, classes); `labels`: (batch,) class numbers. He et al. 2020.
    """
    rates = spikes.mean(dim=1)
    return nn.functional.mse_loss(rates, nn.functional.one_hot(labels, rates.shape[1]).to(rates))


class Evaluation(NamedTuple):
    """How a model does on labelled recordings."""

    loss: float
    accuracy: float


def evaluate(
    model: nn.Module, recordings: Recordings, indices: Int64s | None = None, batch_size: int = 50
) -> Evaluation:
    """Return rate loss and accuracy on recordings (by default all), a batch in memory at a time."""
    indices = np.arange(len(recordings)) if indices is None else indices
    loss, correct = 0.0, 0
    model.eval()
    with torch.no_grad():
        for batch in _batches(indices, batch_size):
            spikes = model(recordings.frames(batch))
            labels = torch.from_numpy(recordings.labels[batch])
            loss += len(batch) * rate_loss(spikes, labels).item()
            correct += int((predict(spikes) == labels).sum())
    return Evaluation(loss / len(indices), correct / len(indices))


def split_validation(labels: Int64s, share: float, seed: int) -> tuple[Int64s, Int64s]:
    """Return the indices (ascending) for training and for validation, of each class alike.

    Of n recordings of a class round(share * n) validate, but at least one and not all; a class
    with one recording stays in training. Raises `TrainingError` where nothing is left to validate.
    """
    rng = np.random.default_rng([seed, 0])
    chosen = np.zeros(len(labels), np.bool_)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        count = min(max(round(share * len(members)), 1), len(members) - 1)
        chosen[members[:count]] = True
    if not chosen.any():
        raise TrainingError(
            f"the training set has {len(labels)} recordings, "
            f"expected two or more of a class, one of them for validation"
        )
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def train(
    dataset: DataSet,
    settings: TrainingSettings,
    *,
    checkpoint: Path | None = None,
    progress: bool = True,
) -> Trained:
    """Train a model of `settings.structure` on the training set of `dataset`.

    `checkpoint` names a file that holds the state of the training after every epoch; where it
    exists already, training goes on from it, to the same result bit for bit (on one machine, with
    the same number of threads). `progress` shows a bar on stderr.

    Raises `TrainingError` where data set, structure and checkpoint do not belong together, and
    `RecordingError` for a damaged recording.
    """
    _check_fit(dataset, settings)
    if checkpoint is not None and not checkpoint.parent.is_dir():
        raise TrainingError(f"{checkpoint}: expected a checkpoint in a folder that exists")
    model = _new_model(dataset, settings)
    training, validation = split_validation(
        dataset.train.labels, settings.validation_share, settings.seed
    )
    with _progress_bar(progress) as bar:
        task = bar.add_task("reading recordings", total=len(dataset.train))
        recordings = bin_split(
            dataset.train,
            model.input_shape,
            settings.dt_us,
            settings.steps,
            encoding=settings.encoding,
            progress=lambda done: bar.advance(task, done),
        )
        bar.remove_task(task)
        state = TrainingState(model, torch.optim.Adam(model.parameters(), settings.learning_rate))
        data = {"name": dataset.name, "digest": recordings.digest()}
        if checkpoint is not None and checkpoint.exists():
            state.load(checkpoint, settings.as_dict(), data)
        else:
            first_batch = _order(training, settings.seed, epoch=1)[: settings.batch_size]
            wake_silent_layers(model, recordings.frames(first_batch))
        for epoch in _train_epochs(state, recordings, training, validation, settings, bar):
            state.note(epoch)
            if checkpoint is not None:
                state.save(checkpoint, settings.as_dict(), data)
    model.load_state_dict(state.best_weights)
    model.eval()
    return Trained(
        model=model,
        settings=settings,
        history=tuple(state.history),
        best=state.best,
        dataset=dataset.name,
        class_names=tuple(dataset.class_names),
        training_recordings=len(training),
        validation_recordings=len(validation),
        events=recordings.events,
        events_late=recordings.events_late,
    )


def _check_fit(dataset: DataSet, settings: TrainingSettings) -> None:
    classes = parse_structure(settings.structure)[-1].numbers[0]
    if classes != len(dataset.class_names):
        raise TrainingError(
            f"structure {settings.structure!r} ends with {classes} classes, "
            f"expected the {len(dataset.class_names)} of data set {dataset.name}"
        )


def _new_model(dataset: DataSet, settings: TrainingSettings) -> SpikingNetwork:
    """Build the model with the initial weights of the seed, torch's own generator untouched."""
    sensor = dataset.sensor
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return SpikingNetwork(
            settings.structure,
            (sensor.polarities, sensor.height, sensor.width),
            neuron=settings.neuron,
            surrogate=settings.surrogate,
            surrogate_width=settings.surrogate_width,
            bias=settings.bias,
            batch_norm=settings.batch_norm,
        )


def _train_epochs(
    state: TrainingState,
    recordings: Recordings,
    training: Int64s,
    validation: Int64s,
    settings: TrainingSettings,
    bar: Progress,
) -> Iterator[Epoch]:
    """Train and judge the epochs that are still to be done, one whenever asked for the next."""
    batches = math.ceil(len(training) / settings.batch_size)
    done = len(state.history)
    task = bar.add_task("training", total=settings.epochs * batches, completed=done * batches)
    for number in range(done + 1, settings.epochs + 1):
        loss = _train_epoch(
            state, recordings, training, settings, number, lambda: bar.advance(task)
        )
        judged = evaluate(state.model, recordings, validation, settings.batch_size)
        progress = f"epoch {number}: loss {loss:.4f}, validation {judged.accuracy:.1%}"
        bar.update(task, description=progress)
        yield Epoch(number, loss, judged.loss, judged.accuracy)


def _train_epoch(
    state: TrainingState,
    recordings: Recordings,
    training: Int64s,
    settings: TrainingSettings,
    epoch: int,
    batch_done: Callable[[], None],
) -> float:
    """Train on every recording once; return the mean loss. The order follows from seed, epoch."""
    order = _order(training, settings.seed, epoch)
    total = 0.0
    state.model.train()
    for batch in _batches(order, settings.batch_size):
        spikes = state.model(recordings.frames(batch))
        loss = rate_loss(spikes, torch.from_numpy(recordings.labels[batch]))
        state.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        state.optimizer.step()
        total += len(batch) * loss.item()
        batch_done()
    return total / len(training)


def _order(training: Int64s, seed: int, epoch: int) -> Int64s:
    """Return the training recordings in the order of an epoch."""
    return np.random.default_rng([seed, epoch]).permutation(training)


def _batches(indices: Int64s, size: int) -> Iterator[Int64s]:
    return (indices[first : first + size] for first in range(0, len(indices), size))


def _progress_bar(shown: bool) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=not (shown and console.is_terminal),
    )  # fmt: skip
