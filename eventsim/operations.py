"""What is counted, layer by layer and sample by sample.

The kernels count while they work; nothing here is estimated. `LayerOperations` says what one unit
of each count is.

A synaptic operation (SOP) is an AC or a MAC. Weights that a spike cannot reach, beyond the border
of a map or in another group, are not touched and not counted. A stored weight that is 0 is added
and counted like any other. A pool's constant scale is folded into the stored weights and costs
nothing. Input events count as they arrive, whether or not a weight is reached from there.
`eventsim_bridge.readings.for_nothing` tells how many operations have a weight of 0, and how many
events reach nothing.

Not counted, but derived from the counts by `eventsim.energy.neuron_work`: the product of a bias
with the number of silent timesteps; a second decay after a silence; the additions of a CUBA-LIF's
current to its membrane and of an ALIF's adaptation to its threshold; the division that finds how
many spikes a membrane stands for; the maximum with a lower bound; whether a neuron may fire again;
reading powers of a decay from a table. A readout without spikes (LI) compares its membrane with
infinity, and that counts.

Neurons are updated lazily, when something reaches their site, with exceptions that are counted as
well. In a layer in which a bias can carry a neuron over threshold without input, and in a last
layer whose membranes are read out, every site is updated and compared in every timestep. Where a
neuron of a site may still fire without input (a reset by subtraction left it over threshold, it is
held there by its refractory time, a current still flows, a raised threshold falls), the site is
updated in the next timestep too. What is added to the membrane of a refractory neuron is lost, but
it was added, and counts.

In asynchronous time an instant takes the place of a timestep (`asynchronous/__init__.py`):

- a neuron without graded spikes that fires n times in an instant counts as n input events where
  they arrive, and as n ACs a weight; it is compared and reset once, whatever n is;
- decays and bias adds count only where time has passed since the site's last update;
- no site is updated but those that something reaches, those in which a neuron fires by itself, and
  those of a last layer whose membranes are read out, once at the end.

Bytes: weights and biases are float32, so 4 per SOP and bias add; state is a float32 membrane for
each update and an int32 time for each site update. The passes that a kernel makes over a membrane
within one update, while it stays in registers or the nearest cache, count once.

dense_macs is what a dense framework executes for the same layer and timesteps: every weight at
every output position, the zeros of a convolution's padding included. dense_updates likewise is
every neuron in every timestep, and idle_updates those of them in which the engine does not compare
the neuron: what a machine takes that updates all of its neurons, as most chips do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

from .errors import EventsimError
from .tables import Table, frame_of

if TYPE_CHECKING:
    from pandas import DataFrame

# Columns of the kernels' counters, in this order the fields of LayerOperations.
COUNTERS = (
    "input_events",
    "acs",
    "macs",
    "updates",
    "decays",
    "bias_adds",
    "compares",
    "resets",
    "output_spikes",
    "site_updates",
)
(
    INPUT_EVENTS, ACS, MACS, UPDATES, DECAYS, BIAS_ADDS, COMPARES, RESETS, OUTPUT_SPIKES,
    SITE_UPDATES,
) = range(len(COUNTERS))  # fmt: skip


@dataclass(frozen=True)
class CountedLayer:
    """What the counts of a layer of any kind have: a name, counts, and counts derived from them."""

    derived: ClassVar[tuple[str, ...]] = (
        "sops", "weight_bytes_read", "state_bytes_read", "state_bytes_written",
    )  # fmt: skip
    name: str

    def as_dict(self) -> dict[str, int | str]:
        """Return every count, those derived included, for JSON."""
        counts = [field.name for field in fields(self)]
        return {name: getattr(self, name) for name in (*counts, *self.derived)}


@dataclass(frozen=True)
class LayerOperations(CountedLayer):
    """The operations of one layer in one sample, `name` of a network. One unit of each count:

    input_events   one spike that arrives at the layer, after delays and max pools: an input cell
                   with events, a neuron that spiked (however often in the timestep), or a neuron's
                   own spike that comes back to it
    acs            one stored weight added to one membrane (or current) as it is: the spike that
                   brings it stands for one
    macs           one stored weight multiplied by a graded spike that stands for several (a count),
                   then added
    updates        one variable of a neuron brought up to date: its membrane, its current or
                   adaptation, the end of its refractory time; read once and written once in a
                   timestep
    decays         one variable multiplied by its decay (for all silent timesteps at once)
    bias_adds      one bias added to one neuron (for all silent timesteps at once, scaled by them)
    compares       one membrane compared with its threshold
    resets         one membrane reset after a spike, or after several in one timestep
    output_spikes  one spike that leaves the layer
    site_updates   one site brought up to date: its time of last update read and written
    dense_macs     one weight that a dense framework multiplies in these timesteps
    dense_updates  one neuron in one timestep

    The module's docstring says more of when they count.
    """

    input_events: int
    acs: int
    macs: int
    updates: int
    decays: int
    bias_adds: int
    compares: int
    resets: int
    output_spikes: int
    site_updates: int
    dense_macs: int
    dense_updates: int

    derived: ClassVar[tuple[str, ...]] = (*CountedLayer.derived, "idle_updates")

    @property
    def idle_updates(self) -> int:
        """Neurons and timesteps that the engine passes over."""
        return max(0, self.dense_updates - self.compares)

    @property
    def sops(self) -> int:
        """Synaptic operations, ACs and MACs."""
        return self.acs + self.macs

    @property
    def weight_bytes_read(self) -> int:
        """Bytes of weights and biases read."""
        return 4 * (self.sops + self.bias_adds)

    @property
    def state_bytes_read(self) -> int:
        """Bytes of membranes and times of last update read."""
        return 4 * (self.updates + self.site_updates)

    @property
    def state_bytes_written(self) -> int:
        """Bytes of membranes and times of last update written."""
        return 4 * (self.updates + self.site_updates)


Layer = TypeVar("Layer", bound=CountedLayer)


@dataclass(frozen=True)
class CountedLayers(Generic[Layer]):
    """The counts of one sample (or the sum over several), layer by layer."""

    layers: tuple[Layer, ...]

    @property
    def total(self) -> Layer:
        """The sum over the layers."""
        return _sum("total", self.layers)

    def __getitem__(self, layer: int | str) -> Layer:
        """Return the counts of a layer by its name, or by its number in `network.layers`.

        Raises `EventsimError` where no layer is called so.
        """
        for one in self.layers:
            if one.name == layer or one.name.startswith(f"layer {layer} ("):
                return one
        names = tuple(one.name for one in self.layers)
        raise EventsimError(f"layer is {layer!r}, expected one that is counted: {names}")

    def rows(self) -> list[dict[str, Any]]:
        """Return every count of each layer, one dict a layer, as a CSV file has them."""
        rows = [layer.as_dict() for layer in self.layers]
        return [{"layer": row.pop("name"), **row} for row in rows]

    def to_frame(self) -> DataFrame:
        """Return `rows` as a `pandas.DataFrame`; raises `EventsimError` where pandas is missing."""
        return frame_of(self.rows())

    @classmethod
    def sum(cls, samples: Iterable[Self]) -> Self:
        """Add up the operations of several samples of the same network, layer by layer."""
        by_layer = zip(*(sample.layers for sample in samples), strict=True)
        return cls(tuple(_sum(layers[0].name, layers) for layers in by_layer))


@dataclass(frozen=True, repr=False)
class Operations(CountedLayers[LayerOperations]):
    """The operations of one sample (or the sum over several): `layers` with neurons, in order.

    `operations[1]` is that of `network.layers[1]`, `total` the sum over the layers.
    """

    @staticmethod
    def from_counters(
        names: Sequence[str],
        counters: Sequence[Sequence[int]],
        dense_macs: Sequence[int],
        dense_updates: Sequence[int],
        steps: int = 1,
    ) -> Operations:
        """Wrap what the kernels counted: of each layer, in the order of `COUNTERS`.

        `dense_macs` and `dense_updates` are those of one of so many timesteps.
        """
        made = object.__new__(Operations)
        made.__dict__["_counted"] = (names, counters, dense_macs, dense_updates), steps
        return made

    @cached_property  # type: ignore[misc]  # an attribute of the class that it is derived from
    def layers(self) -> tuple[LayerOperations, ...]:
        """Made when somebody asks for it: that took 9 of 158 microseconds a recording."""
        columns, steps = self.__dict__["_counted"]
        return tuple(
            LayerOperations(name, *[*row, macs * steps, updates * steps])
            for name, row, macs, updates in zip(*columns, strict=True)
        )

    def _table(self) -> Table:
        layers = (*self.layers, self.total) if len(self.layers) > 1 else self.layers
        names = [name for name in _SHOWN if name != "macs" or self.total.macs]
        rows = tuple(
            (
                one.name, *(getattr(one, name) for name in names),
                one.sops / one.dense_macs if one.dense_macs else "-",
            )
            for one in layers
        )  # fmt: skip
        headings = tuple(_SHOWN[name] for name in names)
        return Table("Operations", ("layer", *headings, "SOPs/dense"), rows)

    def __repr__(self) -> str:
        """Return a table, one layer a line, and their sum."""
        return self._table().text()

    def _repr_html_(self) -> str:
        return self._table().html()


# Counts that a table has room for; `to_frame` has them all.
_SHOWN = {
    "input_events": "events in",
    "acs": "ACs",
    "macs": "MACs",
    "updates": "updates",
    "output_spikes": "spikes out",
    "dense_macs": "dense MACs",
}


def _sum(name: str, layers: tuple[Layer, ...]) -> Layer:
    kind: Any = type(layers[0])
    counts = [field.name for field in fields(kind) if field.name != "name"]
    total: Layer = kind(name, **{f: sum(getattr(layer, f) for layer in layers) for f in counts})
    return total
