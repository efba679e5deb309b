"""What networks, results and recordings look like at a prompt, and what is taken for them."""

from __future__ import annotations

import builtins
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import eventsim as es

RNG = np.random.default_rng(0)
CAMERA = es.LIF(decay=0.3, threshold=0.3)


def network() -> es.Network:
    return es.Network(
        (2, 6, 6),
        1000,
        [
            es.Conv2d(RNG.normal(0, 1, (4, 2, 3, 3)), np.ones(4), padding=1, neuron=CAMERA),
            es.AvgPool2d(2),
            es.Flatten(),
            es.Dense(
                RNG.normal(0, 1, (5, 36)), recurrent=np.zeros((5, 5)),
                neuron=es.LIF(decay=tuple(RNG.random(5)), threshold=0.3),
            ),
        ],
        class_names=list("abcde"),
    )  # fmt: skip


def events(count: int = 300) -> Any:
    t = np.sort(RNG.integers(0, 9000, count))
    x, y, on = (RNG.integers(0, high, count) for high in (6, 6, 2))
    return es.make_events(t, x, y, on)


def test_a_network_is_a_table_of_its_layers() -> None:
    lines = repr(network()).splitlines()
    assert lines[0] == (
        "Network: 2 x 6 x 6 input (binary), whole recordings of 1,000 us, read by spike-count, "
        "281 parameters"
    )
    assert lines[1].split() == ["layer", "output", "neuron", "parameters"]
    assert [line.split("  ")[1] for line in lines[2:]] == [
        "layer 0 (Conv2d)", "layer 1 (AvgPool2d)", "layer 2 (Flatten)", "layer 3 (Dense)",
    ]  # fmt: skip
    assert lines[2].split()[-1] == "76"  # 4 * 2 * 3 * 3 weights and 4 biases
    assert lines[5].split()[-1] == "205"  # 5 * 36 weights and 5 * 5 recurrent ones
    assert max(map(len, lines)) < 120


def test_layers_and_neurons_show_no_arrays() -> None:
    first, _, _, last = network().layers
    assert repr(first) == (
        "Conv2d(weight(4, 2, 3, 3), bias(4,), padding=(1, 1), "
        "LIF(decay=0.3, threshold=0.3, reset='zero'))"
    )
    assert "<5 values, 0." in repr(last)
    assert "recurrent(5, 5)" in repr(last)


def test_results_are_tables_of_what_was_executed() -> None:
    result = es.simulate(network(), events(), record_spikes=True, probe=["membranes"])
    total = result.operations.total
    for shown in (repr(result), repr(result.operations)):
        assert f"{total.acs:,}" in shown
        assert len(shown.splitlines()) == 5
    assert repr(result).startswith(f"Result: output {result.prediction} (")
    assert "of 300 events in 9 timesteps of 1,000 us (clocked)" in repr(result)
    silent = es.simulate(network(), es.make_events([], [], [], []))
    assert "no output spike" in repr(silent)
    assert f"layer 3 (Dense): int32 {result.spikes[3].shape}" in repr(result.spikes)  # type: ignore[index]
    assert "membranes float32 (9, 5)" in repr(result.probes)


def test_html_has_the_same_and_escapes_it() -> None:
    net = network()
    shown = net._repr_html_()
    assert '<td style="text-align: left">layer 3 (Dense)</td>' in shown
    assert "LIF(decay=&lt;5 values" in shown
    result = es.simulate(net, events())
    for one in (result, result.operations):
        assert f"{result.operations.total.sops:,}</td>" in one._repr_html_()


def test_recordings_and_grids_are_one_line(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", events())
    recording = es.read_recording(tmp_path / "a.npy")
    assert repr(recording).startswith("Recording: 300 events of 6 x 6 pixels (guessed")
    binned = es.bin_events(recording, (2, 6, 6), 1000)
    assert repr(binned).startswith("BinnedEvents: 300 events, ")
    assert "\n" not in repr(recording) + repr(binned)


def test_a_layer_has_one_number() -> None:
    """That of `network.layers`: in names, as an index, and as an argument."""
    net = network()
    result = es.simulate(net, events(), record_spikes=True, probe=["membranes"], layers=[3])
    assert result.spikes is not None
    assert result.probes is not None
    assert result.spikes.numbers == net.neuron_layers == (0, 3)
    for number in net.neuron_layers:
        name = net.layer_name(number)
        assert result.spikes[number] is result.spikes[name]
        counted = result.operations[number]
        assert counted is result.operations[name]
        assert (counted.name, counted.output_spikes) == (name, len(result.spikes[number]))
    assert result.spikes[-1] is result.spikes[3]
    assert [len(one) for one in result.spikes] == [len(one) for _, one in result.spikes.items()]
    assert result.probes[3]["membranes"].shape == (result.steps, 5)
    for wrong in (2, 4, -5, "layer 1", 0.0, True):
        with pytest.raises(es.EventsimError, match=r"expected one that has an entry: \('layer 0"):
            result.spikes[wrong]
    for missing in (1, "layer 1"):
        with pytest.raises(es.EventsimError, match="expected one that is counted"):
            result.operations[missing]


def test_a_recording_and_foreign_arrays_are_taken_for_events(tmp_path: Path) -> None:
    """As tonic has them, and others: other types, another order, other names."""
    net, own = network(), events()
    tonic = np.zeros(len(own), [("x", "<i8"), ("y", "<i8"), ("t", "<i8"), ("p", "<i8")])
    other = np.zeros(
        len(own), [("timestamp", "<f8"), ("x", "<i2"), ("y", "<i2"), ("polarity", "?")]
    )
    for name in ("x", "y"):
        tonic[name] = other[name] = own[name]
    tonic["t"], tonic["p"] = own["t"], own["on"]
    other["timestamp"], other["polarity"] = own["t"], own["on"]
    np.save(tmp_path / "a.npy", own)
    recording = es.read_recording(tmp_path / "a.npy")
    for mode in ("clocked", "async"):
        expected = es.simulate(net, own, mode=mode).operations  # type: ignore[arg-type]
        for given in (tonic, other, recording, [tonic[:9], tonic[9:]], [recording]):
            assert es.simulate(net, given, mode=mode).operations == expected  # type: ignore[arg-type]
        (batched,) = es.simulate_batch(net, [recording], mode=mode)  # type: ignore[arg-type]
        assert batched.operations == expected
    session = es.Session(net, mode="clocked")
    session.feed(tonic)
    assert session.operations.total.input_events > 0
    np.testing.assert_array_equal(es.check_events(recording), own)
    np.testing.assert_array_equal(es.Filters(es.FilterSettings(), es.Sensor(6, 6))(tonic), own)
    with pytest.raises(es.RecordingError, match=r"fields t, x, y and on"):
        es.simulate(net, tonic[["x", "y", "t"]])


def test_a_path_is_answered_with_the_call_that_reads_it() -> None:
    net = network()
    for path in ("net.h5", Path("net.h5")):
        for call in (
            lambda path: es.simulate(path, events()),
            lambda path: es.simulate_batch(path, [events()]),
            es.Session, es.ClockedRun, es.AsynchronousRun, es.footprint,
            lambda path: es.save_network(path, "other.h5"),
            lambda path: es.round_weights(path, "int8"),
            lambda path: es.run_reference(path, np.zeros((1, 2, 6, 6))),
        ):  # fmt: skip
            with pytest.raises(es.NetworkError, match=r"eventsim\.load_network\('net\.h5'\) reads"):
                call(path)
    for mode in ("clocked", "async"):
        for path in ("a.bin", Path("a.bin")):
            with pytest.raises(es.RecordingError, match=r"eventsim\.read_recording\('a\.bin'\) re"):
                es.simulate(net, path, mode=mode)  # type: ignore[arg-type]
    with pytest.raises(es.NetworkError, match="of type list, expected a Network"):
        es.simulate([], events())  # type: ignore[arg-type]


def test_a_single_recording_is_no_batch(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", events())
    for single in (events(), es.read_recording(tmp_path / "a.npy"), "a.npy", tmp_path / "a.npy"):
        with pytest.raises(es.EventsimError, match=r"a single one, .* eventsim\.simulate runs one"):
            es.simulate_batch(network(), single)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["clocked", "async"])
def test_a_batch_records_what_single_runs_do(mode: Any) -> None:
    net, recordings = network(), [events(), events(50), events()]
    more: dict[str, Any] = {"probe": ["membranes"], "layers": [3]} if mode == "clocked" else {}
    results = es.simulate_batch(net, recordings, mode=mode, record_spikes=True, **more)
    for one, recording in zip(results, recordings, strict=True):
        alone = es.simulate(net, recording, mode=mode, record_spikes=True, **more)
        assert one.spikes is not None
        assert alone.spikes is not None
        for mine, other in zip(one.spikes, alone.spikes, strict=True):
            np.testing.assert_array_equal(mine, other)
        if more:
            assert one.probes is not None
            assert alone.probes is not None
            np.testing.assert_array_equal(one.probes[3]["membranes"], alone.probes[3]["membranes"])
    with pytest.raises(es.EventsimError, match=r"probe is .* with mode 'async'"):
        es.simulate_batch(net, recordings, mode="async", probe=["membranes"])


def test_frames_have_every_count() -> None:
    result = es.simulate(network(), events())
    frame = result.operations.to_frame()
    assert list(frame["layer"]) == ["layer 0 (Conv2d)", "layer 3 (Dense)"]
    for row, layer in zip(frame.to_dict("records"), result.operations.layers, strict=True):
        assert {"name": row.pop("layer"), **row} == layer.as_dict()
    whole = result.to_frame()
    assert list(whole["prediction"]) == [result.prediction] * 2
    assert list(whole["events"]) == [300, 300]
    assert whole["sops"].sum() == result.operations.total.sops


def test_without_pandas_to_frame_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name == "pandas":
            raise ModuleNotFoundError(name="pandas")
        return real(name, *more)

    result = es.simulate(network(), events())
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(es.EventsimError, match="pandas is not installed"):
        result.to_frame()


def test_the_package_shows_its_names_and_no_modules() -> None:
    assert sorted(dir(es)) == sorted([*es.__all__, "__version__"])
    script = "import sys, eventsim; print('pandas' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]


def test_help_says_what_the_columns_of_spikes_are() -> None:
    shown = " ".join((es.Result.__doc__ or "").split())
    assert "columns (timestep, channel, y, x)" in shown
    assert shown.index("spikes:") < shown.index("spike_counts:")
    for kind in vars(es).values():
        if isinstance(kind, type) and kind.__module__.startswith("eventsim"):
            of_data = [field.name for field in fields(kind)] if is_dataclass(kind) else []
            for name in of_data or getattr(kind, "_fields", ()):
                assert name in (kind.__doc__ or ""), (kind, name)
