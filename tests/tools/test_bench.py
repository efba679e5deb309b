"""`eventsim bench`: adapters that give the engine's spikes, what is measured, what is written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import run_command, write_nmnist

import eventsim as es
from eventsim_tools.bench import ceiling, contest, graded, inputs, layers, networks, workloads
from eventsim_tools.bench.peers import PEERS, TorchCsr, TorchDense
from eventsim_tools.bench.peers.peer import Peer, just_above

STEPS = 20
NEURONS = [
    es.LIF(0.3, 0.3),
    es.LIF(0.9, 1.0, reset="subtract"),
    es.IF(1.0),
    es.IF(1.0, reset="subtract"),
]
SEVERAL = {"reset": "subtract", "comparison": ">=", "spikes": "many"}
NEURONS_OF_SEVERAL_SPIKES = [
    es.IF(0.5, **SEVERAL),
    es.IF(0.5, lower_bound=-1.0, **SEVERAL),
    es.LIF(0.5, 0.5, lower_bound=-0.25, **SEVERAL),
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Leave torch as it was (conftest.py): contestants set its threads."""
    yield
    torch.set_num_threads(1)


class Missing(TorchDense):
    """A peer that nobody has."""

    name = package = "no_such_simulator"


def weights(neuron: Any, deviation: float, shape: tuple[int, ...]) -> Any:
    """Draw weights; for IF whole eighths, so that membranes come to the threshold exactly."""
    drawn = np.random.default_rng(0).normal(0, deviation, shape)
    exact = isinstance(neuron, es.IF) or neuron.spikes == "many"
    return np.round(8 * drawn) / 8 if exact else drawn


def dense_network(neuron: Any, steps: int | None = STEPS) -> es.Network:
    bias = weights(neuron, 0.05, (24,))
    hidden = es.Dense(weights(neuron, 0.5, (24, 72)), bias, neuron=neuron)
    output = es.Dense(weights(neuron, 0.4, (10, 24)), neuron=neuron)
    return es.Network((2, 6, 6), 1000, [es.Flatten(), hidden, output], steps=steps)


def convolutional_network(neuron: Any) -> es.Network:
    convolution = es.Conv2d(weights(neuron, 0.5, (4, 2, 3, 3)), padding=1, neuron=neuron)
    output = es.Dense(weights(neuron, 0.3, (10, 36)), neuron=neuron)
    pool = es.SumPool2d(2)
    return es.Network((2, 6, 6), 1000, [convolution, pool, es.Flatten(), output], steps=STEPS)


def recordings(count: int = 3) -> list[Any]:
    return [networks.random_events((2, 6, 6), 0.1, STEPS, 1000, seed=seed) for seed in range(count)]


def compiling_is_slow(kind: type[Peer]) -> Any:
    return pytest.param(kind, marks=pytest.mark.slow) if kind.name == "torch.compile" else kind


@pytest.mark.parametrize("neuron", NEURONS, ids=repr)
@pytest.mark.parametrize("kind", [*map(compiling_is_slow, PEERS)], ids=lambda kind: kind.name)
def test_peers_give_the_spikes_of_the_engine(kind: type[Peer], neuron: Any) -> None:
    """Every spike of every layer, or the adapter says which equation it could not express."""
    peer = kind()
    for network in (dense_network(neuron), convolutional_network(neuron)):
        if kind is TorchCsr and isinstance(network.layers[0], es.Conv2d):
            continue
        try:
            peer.build(network)
        except es.EventsimError as error:
            pytest.skip(str(error))  # no compiler for torch.compile
        row = contest.check(peer, network, recordings())
        assert min(row["engine_spikes"]) > 0
        if peer.difference(neuron):
            assert row["verdict"] == peer.difference(neuron)
            assert sum(row["differing"]) > 0, "the difference that is claimed does not show"
        else:
            assert row["differing"] == [0, 0], row["verdict"]
            assert row["verdict"] == "equal"


@pytest.mark.parametrize("neuron", NEURONS_OF_SEVERAL_SPIKES, ids=repr)
@pytest.mark.parametrize("kind", [*map(compiling_is_slow, PEERS)], ids=lambda kind: kind.name)
def test_peers_spike_several_times_or_say_that_they_cannot(kind: type[Peer], neuron: Any) -> None:
    peer = kind()
    network = dense_network(neuron)
    if not kind.several:
        with pytest.raises(es.EventsimError, match="spike at most once in a timestep"):
            peer.build(network)
        return
    try:
        peer.build(network)
    except es.EventsimError as error:
        assert "torch.compile does not work here" in str(error)  # noqa: PT017
        pytest.skip(str(error))
    row = contest.check(peer, network, recordings())
    several = np.concatenate([es.simulate(network, r).spike_counts for r in recordings()])
    assert several.max() > STEPS / 2
    assert min(row["engine_spikes"]) > 0
    assert (row["differing"], row["verdict"]) == ([0, 0], "equal")


@pytest.mark.parametrize(
    "neuron",
    [
        es.LIF(0.3, 0.3, refractory=2),
        es.LIF(0.3, 0.3, lower_bound=-1.0),
        es.IF(1.0, **(SEVERAL | {"reset": "zero"})),
        es.IF(1.0, refractory=1, **SEVERAL),
    ],
    ids=repr,
)
def test_peers_refuse_what_they_would_run_as_something_else(neuron: Any) -> None:
    with pytest.raises(es.EventsimError, match=r"^neuron is L?IF\(.*expected LIF(,| or) IF"):
        TorchDense().build(dense_network(neuron))


def test_every_spike_of_several_is_compared() -> None:
    """Three spikes in a timestep are one more than two; the membrane is 0.25 above three."""

    def network(weight: float) -> es.Network:
        dense = es.Dense(np.array([[weight]]), neuron=es.IF(1.0, **SEVERAL))
        return es.Network((1, 1, 1), 1000, [es.Flatten(), dense], steps=2)

    peer = TorchDense()
    peer.build(network(2.75))
    row = contest.check(peer, network(3.25), [es.make_events([0], [0], [0], [1])])
    assert (row["engine_spikes"], row["differing"]) == ([3], [1])
    assert row["farthest_from_threshold"] == pytest.approx(0.25)


def test_the_graded_network_fires_as_asked_and_no_sum_of_it_rounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(contest, "PEERS", (TorchDense, Missing))
    events = networks.random_events((2, 128, 128), 0.02, 4, 1000)
    network = graded.graded_network([events], 0.2, 1000, 4)
    assert network.input_encoding == "counts"
    assert network.shapes[1] == (16, 64, 64)
    assert network.shapes[-5:] == ((64, 2, 2), (256, 1, 1), (256,), (128,), (11,))
    assert networks.firing_rates(network, [events]) == pytest.approx([0.2] * 9, rel=0.1)
    for index in network.neuron_layers:
        weight: Any = network.layers[index].weight / graded.GRID  # type: ignore[union-attr]
        np.testing.assert_array_equal(weight, np.round(weight))
    spikes = next(iter(es.simulate(network, events, record_spikes=True).spikes or ()))
    assert np.unique(spikes, axis=0, return_counts=True)[1].max() > 1
    result = contest.run_contest(network, [events], 1)
    assert [row["verdict"] for row in result["agreement"]] == ["equal"]
    given = {(row["name"], row["given"]) for row in result["timings"]}
    one_by_one = {("eventsim, one by one", "raw events")} if es.available_threads() > 1 else set()
    assert given == one_by_one | {
        ("eventsim", "raw events"),
        ("eventsim, binned", "binned events"),
        ("torch dense", "ready frames"),
    }


@pytest.mark.parametrize("threads", [1, 2])
def test_binned_recordings_are_run_each_once(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network = dense_network(es.LIF(0.3, 0.3))
    binned = inputs.bin_all(network, recordings(5))
    ran: list[int] = []
    monkeypatch.setattr(es, "run_binned", lambda _, one: ran.append(binned.index(one)))
    contest.run_all_binned(network, binned, threads)
    assert sorted(ran) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("kind", PEERS, ids=lambda kind: kind.name)
def test_a_second_run_begins_from_nothing(kind: type[Peer]) -> None:
    """No membranes are left over from the batch before, whatever its size."""
    peer = kind()
    if peer.name == "torch.compile":
        pytest.skip("keeps nothing, and compiling takes long")
    network = dense_network(es.IF(1.0))
    peer.build(network)
    (frames,) = contest.dense_frames(network, recordings())
    expected = [result.spike_counts for result in es.simulate_batch(network, recordings())]
    for part in (slice(0, 3), slice(0, 3), slice(1, 2)):
        counts = peer.run(peer.ready(frames[part]))
        np.testing.assert_array_equal(counts.numpy(), expected[part])


def test_the_check_finds_a_changed_weight() -> None:
    network = dense_network(es.LIF(0.3, 0.3))
    hidden: Any = network.layers[1]
    weight = hidden.weight.copy()
    weight[3] += 0.05
    changed = es.Network(
        network.input_shape, 1000,
        [es.Flatten(), replace(hidden, weight=weight), network.layers[2]], steps=STEPS,
    )  # fmt: skip
    peer = TorchDense()
    peer.build(changed)
    row = contest.check(peer, network, recordings())
    assert row["differing"][0] > 0
    assert row["farthest_from_threshold"] > contest.ROUNDING
    assert row["verdict"] == "NOT THE SAME NETWORK"


def test_the_next_float_makes_a_comparison_strict() -> None:
    """Peers that fire at the threshold get the number above it."""
    threshold = np.float32(0.3)
    limit = np.float32(just_above(float(threshold)))
    assert limit > threshold
    assert np.nextafter(limit, np.float32(0)) == threshold


def test_the_command_writes_what_the_docs_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contest, "PEERS", (TorchCsr, TorchDense, Missing))
    rng = np.random.default_rng(0)
    dense = es.Dense(rng.normal(0, 0.1, (10, 2312)), neuron=es.LIF(0.3, 0.3))
    net = es.Network((2, 34, 34), 1000, [es.Flatten(), dense], steps=STEPS)
    es.save_network(net, tmp_path / "net.h5")
    for number in (1, 2, 3):
        write_nmnist(tmp_path / "data" / "Test" / "0" / f"{number:05d}.bin", 3, seed=number)
    out = tmp_path / "out.json"
    arguments = ("--root", tmp_path / "data", "--mlp", tmp_path / "net.h5", "--limit", 2)
    command = ("bench", "--workload", "mlp", *arguments, "--repeats", 1, "--json", out)
    assert run_command(*command, "--plots", tmp_path / "plots") == 0
    document = json.loads(out.read_text())
    assert set(document) == {"machine", "repeats", "workloads"}
    assert document["machine"]["versions"]["eventsim"] == es.__version__
    assert document["machine"]["processor"]
    result = document["workloads"]["mlp"]
    assert result["samples"] == 2
    assert result["left_out"] == {
        "no_such_simulator": "not installed: pip install 'eventsim-snn[peers]'"
    }
    assert [row["verdict"] for row in result["agreement"]] == ["equal", "equal"]
    threads = sorted({1, es.available_threads()})
    engines, peers = ["eventsim", "eventsim, binned"], ["torch CSR", "torch dense"]
    assert [(t["name"], t["threads"]) for t in result["timings"]] == [
        *((name, n) for n in threads for name in engines),
        *((name, n) for name in peers for n in threads),
    ]
    for row in result["timings"]:
        assert 0 < row["min"] <= row["median"] <= row["max"]
        assert len(row["seconds_a_sample"]) == 1
        (engine,) = (
            t
            for t in result["timings"]
            if (t["name"], t["threads"]) == ("eventsim", row["threads"])
        )
        assert row["times_the_engine"] == pytest.approx(row["median"] / engine["median"])
    events = [es.read_recording(p).events for p in sorted((tmp_path / "data").rglob("*.bin"))[:2]]
    results = es.simulate_batch(net, events)
    assert result["sops_a_sample"] == sum(r.operations.total.sops for r in results) / 2
    assert (tmp_path / "plots" / "mlp.png").read_bytes().startswith(b"\x89PNG")


def test_bad_input_gets_a_sentence(tmp_path: Path) -> None:
    assert "--workload is 'sing', expected mlp" in str(run_command("bench", "--workload", "sing"))
    sentence = str(run_command("bench", "--workload", "mlp"))
    assert sentence.startswith("eventsim: data set nmnist: root is missing")
    assert "\n" not in sentence


def test_random_networks_fire_at_the_rate_that_was_asked_for() -> None:
    network = dense_network(es.LIF(0.3, 0.3))
    scaled = networks.scale_to_rate(network, recordings(), 0.1)
    rates = networks.firing_rates(scaled, recordings())
    assert rates == pytest.approx([0.1, 0.1], rel=networks.NEAR_ENOUGH)
    before: Any = network.layers[1]
    after: Any = scaled.layers[1]
    factors = after.weight / before.weight
    np.testing.assert_allclose(factors, factors[0, 0], rtol=1e-5)
    with pytest.raises(es.EventsimError, match="no scale of its random weights"):
        networks.scale_to_rate(network, [es.make_events([0], [0], [0], [1])], 0.5)


def test_a_random_network_has_the_grid_and_the_encoding_of_its_workload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_nmnist(tmp_path / "Test" / "0" / "00001.bin", 3, seed=1)
    monkeypatch.setattr(workloads, "scale_to_rate", lambda network, *_: network)
    monkeypatch.setattr(workloads, "_contest", lambda chosen, _: vars(chosen))
    options = workloads.Options(None, None, tmp_path, 1, 1, 0.02, 10**5)
    for name, steps, encoding in (("mlp", 300, "binary"), ("conv", 340, "counts")):
        network = workloads.WORKLOADS[name](options)["network"]
        assert (network.dt_us, network.steps, network.input_encoding) == (1000, steps, encoding)


def test_firing_rates_are_spikes_per_neuron_and_timestep() -> None:
    weight = np.zeros((4, 2))
    weight[0, 1] = 1.0  # one neuron of four, for each ON event
    net = es.Network((2, 1, 1), 1000, [es.Flatten(), es.Dense(weight, neuron=es.IF(0.5))], steps=10)
    events = es.make_events([0, 2000, 5000], [0] * 3, [0] * 3, [1, 1, 0])
    assert networks.firing_rates(net, [events]) == [2 / 40]


def test_the_unpacking_layer_passes_on_what_torch_gets() -> None:
    """The spikes that enter the timed convolution are the frames of torch."""
    network, binned, frames = layers.convolution_case(0.1, side=4, steps=5, out_channels=8)
    spikes = next(iter(es.run_binned(network, binned, record_spikes=True).spikes or ()))
    dense = np.zeros(frames.shape, np.float32)
    dense[tuple(spikes.T)] = 1
    np.testing.assert_array_equal(dense, frames.numpy())


def test_spikes_that_rounding_changes_are_counted() -> None:
    """One neuron fires at every event, or at none; the other never."""
    gpu = pytest.importorskip("eventsim_tools.bench.gpu", exc_type=ImportError)
    events = es.make_events([0, 1000, 2000], [0, 0, 0], [0, 0, 0], [1, 1, 1])

    def network(weight: float) -> es.Network:
        dense = es.Dense(np.array([[weight], [0.1]]), neuron=es.LIF(0.0, 0.5))
        return es.Network((1, 1, 1), 1000, [es.Flatten(), dense])

    assert gpu.spikes_changed(network(1.0), network(1.0), [events]) == 0
    assert gpu.spikes_changed(network(1.0), network(0.4), [events]) == 1
    assert gpu.spikes_changed(network(1.0), network(2.0), [events, events]) == 0


def test_the_layer_alone_does_what_it_does_in_the_network() -> None:
    network, binned, _ = layers.convolution_case(0.1, side=8, steps=40, out_channels=8)
    whole = es.run_binned(network, binned)
    run = layers.only_timed_layer(network, binned)
    for _ in range(2):
        counters = run().counters.tolist()
        operations = es.Operations.from_counters(
            ("0", "1", "2"), counters, [0] * 3, [0] * 3
        ).layers[1]
        assert operations.sops == whole.operations[1].sops
        assert operations.output_spikes == whole.operations[1].output_spikes > 0


def test_the_row_lists_are_those_that_the_engine_adds() -> None:
    """As many SOPs as the engine counts, and the membranes that it would have."""
    network = dense_network(es.IF(1e6))
    lists = ceiling.rows_of_dense(network, recordings())
    results = es.simulate_batch(network, recordings())
    sops = sum(result.operations.layers[0].sops for result in results)
    assert len(lists.rows) * lists.channels == sops
    u = np.zeros(32, np.float32)  # 24 in whole lines
    ceiling.add_lists(u, 24, lists.blocks, lists.rows, lists.pointers, lists.steps)
    frames = contest.dense_frames(network, recordings())[0].numpy().reshape(-1, 72)
    hidden: Any = network.layers[1]
    np.testing.assert_allclose(u[:24], frames.sum(axis=0) @ hidden.weight.T, rtol=1e-4, atol=1e-4)
