"""The table of what is supported in the README, against what each combination does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from places import ROOT

import eventsim as es
from eventsim.clocked.cuda.layout import lay_out
from eventsim.wiring.wire import program_of
from eventsim_bridge.models import import_network
from eventsim_bridge.models.sparse_pass import uncovered

README = (ROOT / "README.md").read_text(encoding="utf-8")
COLUMNS = ("train", "simulate", "asynchronous", "live", "GPU")
LIF = es.LIF(decay=0.5, threshold=0.5)


def dense(units: int, inputs: int, **options: Any) -> es.Dense:
    return es.Dense(np.ones((units, inputs)), **{"neuron": LIF, **options})


def conv(channels: int, inputs: int, **options: Any) -> es.Conv2d:
    weight = np.ones((channels, inputs // options.get("groups", 1), 3, 3))
    return es.Conv2d(weight, padding=options.get("dilation", 1), neuron=LIF, **options)


def network(*layers: Any, shape: Sequence[int] = (2, 8, 8), **options: Any) -> es.Network:
    return es.Network(tuple(shape), 1000, [*layers], **options)


def behind(layer: Any, inputs: int) -> es.Network:
    """Return a network in which a layer stands between a convolution and a fully connected one."""
    return network(conv(2, 2), layer, es.Flatten(), dense(3, inputs))


def of(neuron: Any, **options: Any) -> es.Network:
    return network(es.Flatten(), dense(4, 128, neuron=neuron), **options)


def resets(*names: str) -> list[es.Network]:
    return [of(es.LIF(0.5, 0.5, name)) for name in names]


# Rows of the table; what a row says holds for each of its networks.
ROWS: dict[str, list[es.Network]] = {
    "`Dense`, `Conv2d` (stride, padding, dilation), `Flatten`": [
        network(conv(2, 2, stride=2), es.Flatten(), dense(3, 32)),
        network(conv(2, 2, dilation=2), es.Flatten(), dense(3, 128)),
    ],
    "`Conv2d` with groups, `Upsample`": [
        network(conv(4, 2, groups=2), es.Flatten(), dense(3, 256)),
        behind(es.Upsample(2), 512),
    ],
    "`AvgPool2d`, `SumPool2d`, `MaxPool2d`": [
        behind(pool(2), 32) for pool in (es.AvgPool2d, es.SumPool2d, es.MaxPool2d)
    ],
    "pools that overlap": [behind(es.AvgPool2d(3, stride=2), 18)],
    "`Conv1d`": [
        network(
            es.Conv1d(np.ones((2, 2, 3)), padding=1, neuron=LIF),
            es.Flatten(),
            dense(3, 16),
            shape=(2, 1, 8),
        )
    ],
    "`recurrent=`, each to each or each to itself": [
        network(es.Flatten(), dense(3, 128, recurrent=np.ones((3, 3)))),
        network(es.Flatten(), dense(3, 128, recurrent=np.ones(3))),
    ],
    "`Add`, `Concatenate` (skip connections), `Delay`": [
        network(conv(2, 2), es.Add((-1, 0)), es.Flatten(), dense(3, 128)),
        network(conv(2, 2), es.Concatenate((-1, 0)), es.Flatten(), dense(3, 256)),
        behind(es.Delay(2), 128),
    ],
    "`LIF`, `IF`": [of(LIF), of(es.IF(0.5))],
    "`CUBALIF`, `ALIF`": [of(es.CUBALIF(0.5, 0.5, 0.5)), of(es.ALIF(0.5, 0.5, 0.5, 0.1))],
    "`CUBALIF` with a bias": [
        network(es.Flatten(), dense(4, 128, neuron=es.CUBALIF(0.5, 0.5, 0.5), bias=np.ones(4)))
    ],
    "`FixedCUBALIF` (a chip's integers)": [of(es.FixedCUBALIF(4096, 2048, 30))],
    "`LI`, `CUBALI` (readouts of membranes)": [
        of(neuron, readout=readout)
        for neuron in (es.LI(0.5), es.CUBALI(0.5, 0.5))
        for readout in ("mean-membrane", "last-membrane")
    ],
    "reset to zero or by subtraction": resets("zero", "subtract"),
    "reset to a value": resets("value"),
    "reset in the next timestep, doubled, none": resets(
        "subtract-next", "subtract-doubled", "none"
    ),
    "several spikes a timestep, refractory time, bounds, `>=`": [
        of(es.LIF(0.5, 0.5, "subtract", spikes="many", comparison=">=")),
        of(es.LIF(0.5, 0.5, refractory=2)),
        of(es.LIF(0.5, 0.5, lower_bound=-1.0)),
        of(es.LIF(0.5, 0.5, comparison=">=")),
    ],
    "decay and threshold of each channel": [of(es.LIF((0.5, 0.6, 0.7, 0.8), (0.4, 0.5, 0.6, 0.7)))],
    "input that no camera made": [network(dense(3, 5), shape=(5,))],
}


def refused(what: Any, *arguments: Any, **options: Any) -> bool:
    try:
        what(*arguments, **options)
    except es.EventsimError:
        return True
    return False


def trained(net: es.Network) -> str:
    """Tell how it trains: with the engine's spikes in torch, and a gradient for every weight."""
    given = binned = given_to(net)
    if isinstance(given, np.ndarray):
        binned = es.bin_events(given, net.input_shape, net.dt_us)
    try:
        model = import_network(net)
        spikes = model(torch.from_numpy(binned.frames(np.float32))[None])
    except es.EventsimError:
        return "no"
    spikes.sum().backward()
    counted = es.simulate(net, binned).spike_counts
    np.testing.assert_array_equal(spikes[0].sum(dim=0).detach().numpy(), counted)
    assert counted.any()
    assert all(one.grad is not None for one in model.parameters())
    return "dense" if uncovered(model.layers) else "yes"


def given_to(net: es.Network) -> Any:
    if len(net.shapes[0]) == 3:
        return es.make_events(t=[0, 1500, 4000], x=[1, 2, 3], y=[0] * 3, on=[1, 0, 1])
    return es.from_spikes([0, 1500, 4000], [0, 1, 2], net.input_shape, net.dt_us)


def followed(net: es.Network) -> None:
    for _ in es.Session(net, window_us=2000, mode="clocked").feed(given_to(net)):
        pass


def found(net: es.Network) -> tuple[str, ...]:
    given = given_to(net)
    lay_out(program_of(net), int(np.prod(net.input_shape)))  # tests/ptx runs the kernels
    return (
        trained(net),
        "no" if refused(es.simulate, net, given) else "yes",
        "no" if refused(es.simulate, net, given, mode="async") else "yes",
        "no" if refused(followed, net) else "yes",
        "yes",
    )


def table() -> dict[str, tuple[str, ...]]:
    """Return the rows of the README's table, by their name."""
    lines = README[README.index(f"| {' | '.join(('', *COLUMNS)).strip()}") :].splitlines()
    rows = {}
    for line in lines[2:]:
        if not line.startswith("|"):
            break
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        rows[name] = tuple(cells)
    return rows


def test_the_table_has_every_row() -> None:
    assert list(table()) == list(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_what_is_supported(row: str) -> None:
    assert {found(net) for net in ROWS[row]} == {table()[row]}
