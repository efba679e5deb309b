"""What decides the outcome of a training, besides the data: `TrainingSettings`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from eventsim.checks import is_whole
from eventsim.errors import EventsimError
from eventsim.events.arrays import INPUT_ENCODINGS, InputEncoding
from eventsim.network.neurons import NEURON_TYPES, Neuron

from ..models import PAPER_NEURON
from ..models.layers import parse_structure
from ..models.learned import LEARNABLE, Learnable, Per, check_learn
from ..models.neurons import Surrogate, check_surrogate, check_trainable
from ..models.rounding import TrainedWeights, check_weights
from ..models.spiking import check_batch_norm
from .losses import LOSSES_OF, Loss, ModelName


class TrainingError(EventsimError):
    """Settings, data set or checkpoint that training cannot use."""


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides what training gives, besides the data.

    structure: in the notation of `models/layers.py`, such as "512FC-10".
    model: "snn", "rnn", "lstm" or "ann".
    loss: by name, see `losses.py`; by default "rate" of an SNN and "last" of the others.
    dt_us, steps: the grid, timesteps of so many microseconds from the first event on.
    encoding: "binary" or "counts", see `eventsim.bin_events`.
    epochs, batch_size, learning_rate: of Adam.
    seed: for initial weights, validation split and order of the recordings.
    validation_share: of the training set, see `loop.split_validation`.
    random_start: whether a recording is trained on from a random timestep on, another one in each
        epoch; it is judged from its first event on all the same.
    neuron, learn, learn_per, surrogate, surrogate_width, batch_norm: as in `SpikingNetwork`, and
        only for it.
    bias: whether weight layers have one, in all models.
    weights: "float32", "int8" or "loihi", as in `SpikingNetwork`, and only for it.
    mixed_precision: weights and inputs of products rounded to bfloat16; membranes, cell states and
        sums stay float32.
    sop_budget: the most synaptic operations a sample that a spiking network may take on the
        validation set, see `budget.py`; None: as many as it likes.

    Raises `TrainingError` for a value that cannot work, `StructureError` for the structure.
    """

    structure: str
    dt_us: int
    steps: int
    model: ModelName = "snn"
    loss: Loss | None = None
    encoding: InputEncoding = "binary"
    epochs: int = 20
    batch_size: int = 20
    learning_rate: float = 5e-4
    seed: int = 0
    validation_share: float = 0.1
    random_start: bool = False
    neuron: Neuron = PAPER_NEURON
    learn: tuple[Learnable, ...] = ()
    learn_per: Per = "layer"
    surrogate: Surrogate = "rectangle"
    surrogate_width: float = 0.25
    bias: bool = True
    batch_norm: bool = False
    mixed_precision: bool = False
    sop_budget: int | None = None
    weights: TrainedWeights = "float32"

    def __post_init__(self) -> None:
        """Check every field."""
        parse_structure(self.structure)
        if self.model not in LOSSES_OF:
            raise TrainingError(f"model is {self.model!r}, expected one of {tuple(LOSSES_OF)}")
        losses = LOSSES_OF[self.model]
        if self.loss_name not in losses:
            raise TrainingError(f"loss is {self.loss!r}, expected one of {losses} for {self.model}")
        if self.batch_norm and self.model != "snn":
            raise TrainingError(f"batch_norm is True, expected False for {self.model}")
        check_weights(self.weights, self.batch_norm)
        if self.weights != "float32" and self.model != "snn":
            raise TrainingError(f"weights are {self.weights!r}, expected float32 for {self.model}")
        self._check_budget()
        check_trainable(self.neuron)
        check_learn(self.learn, self.learn_per, self.neuron)
        if self.learn and self.model != "snn":
            raise TrainingError(f"learn is {self.learn}, expected none for {self.model}")
        object.__setattr__(self, "learn", tuple(n for n in LEARNABLE if n in self.learn))
        check_surrogate(self.surrogate, self.surrogate_width)
        check_batch_norm(self.batch_norm, self.bias)
        for name, least in (("dt_us", 1), ("steps", 1), ("epochs", 1), ("batch_size", 1)):
            value = getattr(self, name)
            if not is_whole(value, least):
                raise TrainingError(f"{name} is {value!r}, expected a whole number >= {least}")
            object.__setattr__(self, name, int(value))  # NumPy's are not for JSON
        if self.batch_norm and self.steps == 1:  # a batch of one recording would be one number
            raise TrainingError("steps is 1, expected 2 or more with batch_norm")
        if not is_whole(self.seed, 0, 2**63 - 1):
            raise TrainingError(f"seed is {self.seed!r}, expected a whole number 0 to 2^63 - 1")
        object.__setattr__(self, "seed", int(self.seed))
        if not 0 < self.learning_rate < float("inf"):
            raise TrainingError(f"learning_rate is {self.learning_rate}, expected more than 0")
        if not 0 < self.validation_share < 1:
            raise TrainingError(
                f"validation_share is {self.validation_share}, expected between 0 and 1"
            )
        if self.encoding not in INPUT_ENCODINGS:
            raise TrainingError(f"encoding is {self.encoding!r}, expected one of {INPUT_ENCODINGS}")

    def _check_budget(self) -> None:
        if self.sop_budget is None:
            return
        if self.model != "snn":
            raise TrainingError(
                f"sop_budget is {self.sop_budget!r}, expected none for {self.model}: only spikes "
                f"can become fewer"
            )
        if not is_whole(self.sop_budget, 1):
            raise TrainingError(f"sop_budget is {self.sop_budget!r}, expected a whole number >= 1")
        object.__setattr__(self, "sop_budget", int(self.sop_budget))

    @property
    def loss_name(self) -> Loss:
        """The loss, that of the model where none is given."""
        return self.loss or LOSSES_OF[self.model][0]

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as numbers, strings, lists and dictionaries, for JSON."""
        neuron: dict[str, Any] = {"type": type(self.neuron).__name__}
        for name, value in asdict(self.neuron).items():
            neuron[name] = list(value) if isinstance(value, tuple) else value
        learn = list(self.learn)
        return {**asdict(self), "loss": self.loss_name, "neuron": neuron, "learn": learn}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> TrainingSettings:
        """Return the settings that `as_dict` gave."""
        neuron = dict(fields["neuron"])
        kind: Any = NEURON_TYPES[neuron.pop("type")]
        return cls(**{**fields, "neuron": kind(**neuron)})
