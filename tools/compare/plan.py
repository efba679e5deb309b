"""What a comparison runs: every model and loss at every grid point, with every seed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from eventsim.checks import is_whole
from eventsim.errors import EventsimError

from ..options import Parting
from ..reading import Reading
from ..train import WINDOWED

if TYPE_CHECKING:
    from eventsim.events.arrays import InputEncoding
    from eventsim_bridge.training.losses import Loss, ModelName
    from eventsim_bridge.training.settings import TrainingSettings

Combination = tuple["ModelName", "Loss"]
COMBINATIONS: tuple[Combination, ...] = (
    ("snn", "rate"),
    ("rnn", "last"),
    ("rnn", "rate-inspired"),
    ("lstm", "last"),
    ("lstm", "rate-inspired"),
    ("ann", "last"),
)


# A factor of about 3 apart, around the rate of `eventsim train`.
LEARNING_RATES = (1.5e-4, 5e-4, 1.5e-3)


class Point(NamedTuple):
    """A grid of timesteps."""

    dt_us: int
    steps: int

    @property
    def words(self) -> str:
        """The grid in words."""
        return f"{self.dt_us / 1000:g} ms x {self.steps}"


class Cell(NamedTuple):
    """One training run with all its tests."""

    model: ModelName
    loss: Loss
    point: Point
    seed: int
    structure: str
    same_structure: bool = False  # an RNN or LSTM of the SNN's structure, beside the scaled one

    @property
    def name(self) -> str:
        """A name that is a file's as well."""
        size = "-same-structure" if self.same_structure else ""
        grid = f"dt{self.point.dt_us}us-T{self.point.steps}"
        return f"{self.model}-{self.loss}-{grid}-seed{self.seed}{size}"


@dataclass(frozen=True)
class Plan:
    """Everything that decides the outcome of a comparison, the same for all models.

    data, root: as in `open_dataset`. parting, reading: how recordings of one's own are parted, and
        all are read, cropped and scaled.
    structure: of SNN and ANN, see `eventsim_bridge.models.layers`. Those of RNN and LSTM are scaled
        to as many parameters.
    dt_us: lengths of a timestep; at each `steps` of them, and, where `duration_us` is given, also
        as many as fit into it.
    seeds: 0 .. seeds - 1 each train a model.
    learning_rates: each is tried by each model and loss at each grid point with seed 0; the one
        with the best validation accuracy is that of the other seeds there.
    same_structure: whether RNN and LSTM are also trained in the SNN's structure, at the middle one
        of the grid points.
    limit: the first so many recordings of each split alone.
    """

    data: str
    structure: str
    dt_us: tuple[int, ...]
    steps: int
    root: str | None = None
    duration_us: int | None = None
    seeds: int = 1
    epochs: int = 20
    batch_size: int = 20
    learning_rates: tuple[float, ...] = LEARNING_RATES
    mixed_precision: bool = False
    same_structure: bool = False
    limit: int | None = None
    parting: Parting = field(default_factory=Parting)
    reading: Reading = field(default_factory=Reading)

    def __post_init__(self) -> None:
        """Sort the timesteps, and check what is not checked by `TrainingSettings`."""
        object.__setattr__(self, "dt_us", tuple(sorted(self.dt_us)))
        for name in ("dt_us", "learning_rates"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise EventsimError(f"{name} is {values}, expected one or more different numbers")
        if not is_whole(self.seeds, 1):
            raise EventsimError(f"seeds is {self.seeds!r}, expected 1 or more")
        if self.duration_us is not None and not is_whole(self.duration_us, max(self.dt_us)):
            raise EventsimError(
                f"duration_us is {self.duration_us!r}, expected at least one timestep of "
                f"{max(self.dt_us)} us"
            )
        for point in self.points():
            for rate in self.learning_rates:
                self.settings(self._spiking(point), rate)

    def check_memory(self, input_shape: tuple[int, int, int]) -> None:
        """Raise `EventsimError` where the structure takes more memory than this machine has."""
        from eventsim_bridge.training.memory import check_memory

        for point in self.points():
            check_memory(self.settings(self._spiking(point), self.learning_rates[0]), input_shape)

    def _spiking(self, point: Point) -> Cell:
        return Cell("snn", "rate", point, 0, self.structure)

    def fixed_steps(self) -> list[Point]:
        """Return the grid points with the same number of timesteps."""
        return [Point(dt_us, self.steps) for dt_us in self.dt_us]

    def fixed_duration(self) -> list[Point]:
        """Return the grid points of the same duration, none where no duration is given."""
        if self.duration_us is None:
            return []
        return [Point(dt_us, self.duration_us // dt_us) for dt_us in self.dt_us]

    def points(self) -> list[Point]:
        """Return all grid points, each once."""
        return list(dict.fromkeys([*self.fixed_steps(), *self.fixed_duration()]))

    def middle(self) -> Point:
        """Return the grid point of a report's details.

        Of an even number the later one. It is known before any training: no result chooses it.
        """
        points = self.points()
        return points[len(points) // 2]

    def cells(self, input_shape: tuple[int, int, int]) -> list[Cell]:
        """Return all cells, in the order in which they run: those that try learning rates first."""
        scaled = {
            model: same_parameters(self.structure, input_shape, model) for model in ("rnn", "lstm")
        }
        cells = [
            Cell(model, loss, point, seed, scaled.get(model, self.structure))
            for seed in range(self.seeds)
            for point in self.points()
            for model, loss in COMBINATIONS
        ]
        if self.same_structure:
            cells += [
                Cell(model, loss, self.middle(), seed, self.structure, True)
                for seed in range(self.seeds)
                for model, loss in COMBINATIONS
                if model in scaled
            ]
        return sorted(cells, key=lambda cell: not self.tries(cell))

    def tries(self, cell: Cell) -> bool:
        """Tell whether a cell tries the learning rates, for all seeds of its kind."""
        return cell.seed == 0

    def trainings(self, cell: Cell) -> int:
        """Return how often a cell trains."""
        return len(self.learning_rates) if self.tries(cell) else 1

    def settings(self, cell: Cell, learning_rate: float) -> TrainingSettings:
        """Return the settings of a training."""
        from eventsim_bridge.training.settings import TrainingSettings

        return TrainingSettings(
            cell.structure,
            *cell.point,
            model=cell.model,
            loss=cell.loss,
            encoding=encoding_of(cell.model),
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=learning_rate,
            seed=cell.seed,
            mixed_precision=self.mixed_precision,
            random_start=self.data in WINDOWED,
            # He et al. 2020: half-width 0.25 for fully connected networks, 0.5 for convolutions.
            surrogate_width=0.5 if _has_maps(cell.structure) else 0.25,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON; the root, which does not decide anything, is left out."""
        fields = asdict(self)
        del fields["root"]
        return {name: list(v) if isinstance(v, tuple) else v for name, v in fields.items()}

    def command(self) -> str:
        """Return what to type for it, but for the root."""
        given = self.as_dict()
        usual = asdict(Parting()) | asdict(Reading())
        asked = given.pop("parting") | given.pop("reading")
        given |= {name: value for name, value in asked.items() if value != usual[name]}
        words = ["eventsim compare"]
        for name, value in given.items():
            option = f"--{name.removesuffix('s') if name == 'learning_rates' else name}"
            several = value if isinstance(value, list) else [value]
            for one in several:
                if one is not None and one is not False:
                    words.append(option.replace("_", "-") + ("" if one is True else f" {one}"))
        return " ".join(words)


def encoding_of(model: ModelName) -> InputEncoding:
    """Return what a model sees in a cell: that there were events, or for summed frames how many."""
    return "counts" if model == "ann" else "binary"


def _has_maps(structure: str) -> bool:
    from eventsim_bridge.models.layers import parse_structure

    return any(spec.type.has_neurons and spec.type.takes_map for spec in parse_structure(structure))


def parameters_of(structure: str, input_shape: tuple[int, int, int], model: ModelName) -> int:
    """Return the number of weights and biases of a model."""
    import torch

    from eventsim_bridge.training.loop import build_model
    from eventsim_bridge.training.settings import TrainingSettings

    with torch.random.fork_rng(devices=[]):
        built = build_model(TrainingSettings(structure, 1, 1, model=model), input_shape)
    return sum(parameter.numel() for parameter in built.parameters())


def same_parameters(structure: str, input_shape: tuple[int, int, int], model: ModelName) -> str:
    """Return the structure with all hidden layers scaled alike to the SNN's number of parameters.

    The nearest that a common factor reaches; every layer keeps at least one unit or channel.
    """
    wanted = parameters_of(structure, input_shape, "snn")

    def miss(factor: float) -> int:
        return parameters_of(scaled(structure, factor), input_shape, model) - wanted

    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (low, middle) if miss(middle) > 0 else (middle, high)
    best = min((low, high), key=lambda factor: abs(miss(factor)))
    return scaled(structure, best)


def scaled(structure: str, factor: float) -> str:
    """Return a structure with the units and channels of its hidden layers times a factor."""
    from eventsim_bridge.models.layers import parse_structure

    *hidden, classes = (spec for spec in parse_structure(structure) if spec.text != "Flatten")
    parts = []
    for spec in hidden:
        size, text = spec.numbers[0], spec.text
        if spec.type.has_neurons:
            text = f"{max(1, round(size * factor))}{text.removeprefix(str(size))}"
        parts.append(text)
    return "-".join([*parts, classes.text])


def root_path(plan: Plan) -> Path | None:
    """Return the folder of the data set."""
    return None if plan.root is None else Path(plan.root)
