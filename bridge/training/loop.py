"""Training of spiking and recurrent networks alike: backpropagation through time, checkpoints.

In: a data set (`datasets.py`) and `TrainingSettings`. Out: `Trained`, whose spiking model
`models.export_network` hands to the engine.

The loss is one of `losses.py`, its gradient that of backpropagation through time over all
timesteps, the optimiser Adam. After each epoch the model is judged on a validation split taken from
the training set, of each class alike or of whole users; the test set is never read. The model of
the best epoch is kept: highest validation accuracy, of equals the lowest validation loss; with a
budget of operations (`budget.py`), of the epochs within it.

Where it runs, on a GPU or on several, is in `placement.py`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from eventsim.jit import Int64s
from eventsim.network.graph import Network

from ..data.frames import Recordings, bin_split
from ..datasets import DataSet
from ..models import QuantisedNetwork, RecurrentNetwork, SpikingNetwork, export_network
from ..models.layers import parse_structure
from ..models.quantised import scale_input
from ..models.sequences import LayeredModel
from ..models.spiking import wake_silent_layers
from ..progress import progress_bar
from .budget import aim, price
from .checkpoints import Epoch, TrainingState
from .evaluation import Evaluation, batches, evaluate, run_counted
from .kernels import Feed, Kernels, why_dense
from .losses import error_of, predict
from .memory import check_memory
from .placement import Device, choose_placement
from .settings import TrainingError, TrainingSettings


@dataclass(frozen=True, eq=False)
class Trained:
    """What training gives: the model of the best epoch, and how it came about.

    history, seconds: of each epoch, loss and accuracy, and how long training took without judging.
    best: the epoch that the weights are of. why_dense: why torch's dense kernels trained; None: the
    sparse ones did. training_recordings: without those of validation. events, events_late: of the
    recordings, and how many past the last timestep were not seen. dataset, class_names, settings:
    what was trained on, and how.
    """

    model: LayeredModel
    settings: TrainingSettings
    history: tuple[Epoch, ...]
    seconds: tuple[float, ...]
    why_dense: str | None
    best: Epoch
    dataset: str
    class_names: tuple[str, ...]
    training_recordings: int
    validation_recordings: int
    events: int
    events_late: int

    def provenance(self) -> dict[str, Any]:
        """Return where the model comes from, for the file of its network."""
        return {
            "dataset": self.dataset,
            "settings": self.settings.as_dict(),
            "best_epoch": self.best.epoch,
            "validation_accuracy": self.best.validation_accuracy,
            "validation_loss": self.best.validation_loss,
            "validation_sops": list(self.best.validation_sops),
            "training_recordings": self.training_recordings,
            "validation_recordings": self.validation_recordings,
            "events": self.events,
            "events_late": self.events_late,
            "torch": str(torch.__version__),
        }

    def spiking_model(self) -> SpikingNetwork:
        """Return the model; raises `TrainingError` for an RNN or LSTM."""
        if not isinstance(self.model, SpikingNetwork):
            raise TrainingError(f"the model is {self.settings.model!r}, expected 'snn' to export")
        return self.model

    def network(self) -> Network:
        """Return the model as a network of the engine, with the settings' grid and encoding.

        Raises `TrainingError` for an RNN or LSTM, which the engine does not run.
        """
        return export_network(
            self.spiking_model(),
            dt_us=self.settings.dt_us,
            input_encoding=self.settings.encoding,
            steps=self.settings.steps,
            class_names=self.class_names,
            provenance=self.provenance(),
        )


def split_validation(
    labels: Int64s, share: float, seed: int, users: Sequence[str] | None = None
) -> tuple[Int64s, Int64s]:
    """Return the indices (ascending) for training and for validation.

    Where it is known who is recorded, `users` of each recording, whole users validate: as the test
    set has none of those that a model was trained on. round(share * n) of n users, but at least one
    and not all. Without, or with only one, of n recordings of each class round(share * n)
    validate, but at least one and not all; a class with one recording stays in training. Raises
    `TrainingError` where nothing is left to validate.
    """
    rng = np.random.default_rng([seed, 0])
    if users is not None and len(set(users)) > 1:
        _, groups = np.unique(users, return_inverse=True)
        validating = _some(rng.permutation(groups.max() + 1), share)
        chosen = np.isin(groups, validating)
    else:
        chosen = np.zeros(len(labels), np.bool_)
        for label in np.unique(labels):
            chosen[_some(rng.permutation(np.flatnonzero(labels == label)), share)] = True
    if not chosen.any():
        raise TrainingError(
            f"the training set has {len(labels)} recordings, "
            f"expected two or more of a class, one of them for validation"
        )
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def _some(members: Int64s, share: float) -> Int64s:
    """Return the first of a permutation: that share, but at least one and not all."""
    return members[: min(max(round(share * len(members)), 1), len(members) - 1)]


def train(
    dataset: DataSet,
    settings: TrainingSettings,
    *,
    checkpoint: Path | None = None,
    progress: bool = True,
    device: Device = "auto",
    kernels: Kernels = "auto",
) -> Trained:
    """Train a model of `settings.structure` on the training set of `dataset`.

    `checkpoint` names a file that holds the state of the training after every epoch; where it
    exists already, training goes on from it, to the same result bit for bit (on one machine, with
    the same number of threads and the same kernels). `progress` shows each epoch on stderr.
    `device`: "auto" takes a GPU where there is one. `kernels`: "sparse" ones, which cost what the
    spikes do, torch's "dense" ones, or "auto", sparse wherever they cover the whole model
    (`models/sparse_pass.py`); both give the same gradients to rounding. Started by `torchrun`,
    every process calls this with the same arguments and gets the same result; the first one writes
    the checkpoint.

    Raises `TrainingError` where data set, structure and checkpoint do not belong together, and for
    "sparse" where it does not cover the model; `EventsimError` where there is no such device, and
    `RecordingError` for a damaged recording.
    """
    _check_fit(dataset, settings)
    check_memory(settings, dataset.sensor.input_shape)
    if checkpoint is not None and not checkpoint.parent.is_dir():
        raise TrainingError(f"{checkpoint}: expected a checkpoint in a folder that exists")
    training, validation = split_validation(
        dataset.train.labels, settings.validation_share, settings.seed, dataset.train.users
    )
    with choose_placement(device) as placement:
        console = Console(stderr=True, quiet=not (progress and placement.leads))
        recordings = _read(dataset, settings, console)
        model = _new_model(dataset, settings)
        reason = why_dense(kernels, model, placement, settings.mixed_precision)
        feed = Feed(recordings, placement, sparse=reason is None)
        run = _Run(model, feed, training, settings)
        run.set_budget(validation)
        state, data = run.state, {"name": dataset.name, "digest": recordings.digest()}
        if checkpoint is not None and checkpoint.exists():
            state.load(checkpoint, settings.as_dict(), data)
        elif isinstance(state.model, SpikingNetwork):
            first_batch = run.order(epoch=1)[: settings.batch_size]
            wake_silent_layers(state.model, placement.move(recordings.frames(first_batch)))
        elif isinstance(state.model, QuantisedNetwork):
            parts = batches(training, settings.batch_size)
            scale_input(state.model, (placement.move(recordings.frames(part)) for part in parts))
        for epoch, seconds in _train_epochs(run, validation, console):
            state.note(epoch, seconds)
            if checkpoint is not None and placement.leads:
                state.save(checkpoint, settings.as_dict(), data)
        model = run.model.cpu()
    model.load_state_dict(state.best_weights)
    model.eval()
    return Trained(
        model=model,
        settings=settings,
        history=tuple(state.history),
        seconds=tuple(state.seconds),
        why_dense=reason,
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


def _read(dataset: DataSet, settings: TrainingSettings, console: Console) -> Recordings:
    with progress_bar("reading recordings", len(dataset.train), console) as advance:
        return bin_split(
            dataset.train,
            settings.dt_us,
            settings.steps,
            encoding=settings.encoding,
            whole=settings.random_start,
            progress=advance,
        )


def build_model(settings: TrainingSettings, shape: tuple[int, int, int]) -> LayeredModel:
    """Build an untrained model for frames of `shape`, its weights drawn from torch's generator."""
    if settings.model == "ann":
        return QuantisedNetwork(settings.structure, shape, bias=settings.bias)
    if settings.model != "snn":
        return RecurrentNetwork(settings.structure, shape, cell=settings.model, bias=settings.bias)
    return SpikingNetwork(
        settings.structure,
        shape,
        neuron=settings.neuron,
        surrogate=settings.surrogate,
        surrogate_width=settings.surrogate_width,
        learn=settings.learn,
        learn_per=settings.learn_per,
        bias=settings.bias,
        batch_norm=settings.batch_norm,
        weights=settings.weights,
    )


def _new_model(dataset: DataSet, settings: TrainingSettings) -> LayeredModel:
    """Build the model with the initial weights of the seed, torch's own generator untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return build_model(settings, dataset.sensor.input_shape)


class _Run:
    """What the epochs of one training share."""

    def __init__(
        self,
        model: LayeredModel,
        feed: Feed,
        training: Int64s,
        settings: TrainingSettings,
    ) -> None:
        self.model = model.to(feed.placement.device)
        # One pass over weights and moments instead of many: 22 ms a step instead of 85 for an LSTM
        # of 5.8 million parameters, whose forward and backward pass took 310.
        adam = torch.optim.Adam(model.parameters(), settings.learning_rate, fused=True)
        self.state = TrainingState(model, adam, settings.sop_budget)
        self.aim: float | None = None  # operations behind the first layer that a batch aims at
        self.feed = feed
        self.training = training
        self.settings = settings

    def set_budget(self, validation: Int64s) -> None:
        """Find what the input leaves of the budget, where there is one.

        Raises `TrainingError` where that is less than nothing.
        """
        budget = self.settings.sop_budget
        if budget is not None:
            self.aim = aim(budget, self.judge(validation).sops[0])
            self.model.train()  # as it was, for `wake_silent_layers`

    def penalty(self, sops: Tensor, mine: int) -> Tensor | float:
        """Return what the operations of a batch (samples, layers) add to its loss.

        `mine`: how many of the samples count, of those that the processes share.
        """
        if self.aim is None:
            return 0.0
        behind = sops[:, 1:].sum(dim=1)
        total, count = self.feed.placement.total(float(behind[:mine].detach().sum()), mine)
        now, self.state.price = price(self.state.price, total / count / self.aim)
        return behind.mean() * (now / self.aim)

    def judge(self, indices: Int64s) -> Evaluation:
        """Return how the model does on recordings."""
        settings, feed = self.settings, self.feed
        with feed.placement.autocast(settings.mixed_precision):
            return evaluate(
                self.model, feed.recordings, indices, settings.batch_size,
                loss=settings.loss_name, placement=feed.placement, sparse=feed.sparse,
            )  # fmt: skip

    def order(self, epoch: int) -> Int64s:
        """Return the training recordings in the order of an epoch, which follows from the seed."""
        return np.random.default_rng([self.settings.seed, epoch]).permutation(self.training)


def _train_epochs(run: _Run, validation: Int64s, console: Console) -> Iterator[tuple[Epoch, float]]:
    """Train and judge the epochs that are still to be done, one whenever asked for the next.

    Each comes with the seconds that training took, without judging.
    """
    epochs = run.settings.epochs
    count = math.ceil(len(run.training) / run.settings.batch_size)
    done = len(run.state.history)
    with progress_bar("training, batches", epochs * count, console, done * count) as advance:
        for number in range(done + 1, epochs + 1):
            start = time.perf_counter()
            trained = _train_epoch(run, number, lambda: advance(1))
            seconds = time.perf_counter() - start
            judged = run.judge(validation)
            taken = "" if run.aim is None else f", {sum(judged.sops):,.0f} SOPs"
            advance.say(
                f"epoch {number} of {epochs}: loss {trained.loss:.4f}, "
                f"validation {judged.accuracy:.1%}{taken}, {seconds:.1f} s"
            )
            yield Epoch(number, trained.loss, trained.accuracy, *judged), seconds


def _train_epoch(run: _Run, epoch: int, batch_done: Callable[[], None]) -> Evaluation:
    """Train on every recording once; return loss and accuracy, each batch as it was trained."""
    settings, feed, placement = run.settings, run.feed, run.feed.placement
    rng = np.random.default_rng([settings.seed, epoch, 1])
    total, correct = 0.0, 0
    run.model.train()
    for batch in batches(run.order(epoch), settings.batch_size):
        starts = np.zeros(len(batch), np.int64)
        if settings.random_start:
            starts = feed.recordings.random_starts(batch, rng)
        places = np.arange(len(batch))
        mine = placement.share(places)
        chosen = mine if len(mine) else places[:1]  # without a share: gradients of zero
        part = batch[chosen]
        with placement.autocast(settings.mixed_precision):
            outputs, sops = run_counted(run.model, feed.inputs(part, starts[chosen]))
            labels = feed.labels(part)
            error = error_of(outputs, labels, settings.loss_name)
        loss = error + run.penalty(sops, len(mine))
        run.state.optimizer.zero_grad()
        (loss * (len(mine) / len(batch))).backward()  # type: ignore[no-untyped-call]
        placement.add_gradients(run.model)
        run.state.optimizer.step()
        if len(mine):
            total += len(mine) * error.item()
            correct += int((predict(outputs, settings.loss_name) == labels).sum())
        batch_done()
    total, hits = placement.total(total, correct)
    return Evaluation(total / len(run.training), hits / len(run.training))
