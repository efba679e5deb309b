"""`eventsim train`: what it takes, learns, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run_command, train_quickly, write_nmnist_set

import eventsim as es
from eventsim_bridge.data.frames import bin_split
from eventsim_bridge.datasets import open_dataset
from eventsim_bridge.training.evaluation import evaluate
from eventsim_bridge.training.model_files import load_model


@pytest.fixture
def nmnist(tmp_path: Path) -> Path:
    return write_nmnist_set(tmp_path / "data")


def test_train_exports_a_network_that_run_takes(nmnist: Path, tmp_path: Path) -> None:
    out = tmp_path / "trained.h5"
    train = ("train", "--data", "nmnist", "--root", nmnist, "--structure", "16FC-10")
    grid = ("--dt-us", 10000, "--steps", 4, "--epochs", 8, "--batch-size", 4)
    assert run_command(*train, *grid, "--learning-rate", 0.005, "--out", out) == 0
    net = es.load_network(out)
    assert (net.dt_us, net.steps, net.class_names[3]) == (10000, 4, "3")
    assert net.provenance["dataset"] == "nmnist"
    assert net.provenance["test_recordings"] == 6
    assert net.provenance["test_accuracy"] == 1.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "trained.h5"]
    json_file = tmp_path / "run.json"
    run = ("run", out, "--data", "nmnist", "--root", nmnist, "--json", json_file)
    assert run_command(*run, "--against-torch") == 0
    document = json.loads(json_file.read_text())
    assert document["accuracy"] == net.provenance["test_accuracy"]
    compared = document["agreement"]["layers"]
    assert [layer["name"] for layer in compared] == ["layer 1 (Dense)", "layer 2 (Dense)"]
    assert all(layer["largest_origin_distance"] < 1e-5 for layer in compared)
    assert compared[0]["engine_spikes"] == sum(document["layers"][0]["output_spikes"])


def weight_layers(net: es.Network) -> list[Any]:
    return [layer for layer in net.layers if isinstance(layer, es.Conv2d | es.Dense)]


@pytest.mark.parametrize(
    ("options", "neuron"),
    [
        ((), es.LIF(0.3, 0.3)),
        (
            ("--neuron", "cubalif", "--current-decay", 0.8),
            es.CUBALIF(current_decay=0.8, decay=0.3, threshold=0.3),
        ),
        (
            ("--neuron", "alif", "--decay", 0.6, "--adaptation", 0.2),
            es.ALIF(0.6, 0.3, adaptation_decay=0.9, adaptation=0.2),
        ),
        (("--decay", 0.9, "--threshold", 0.5, "--reset", "subtract"), es.LIF(0.9, 0.5, "subtract")),
        (("--neuron", "if", "--threshold", 0.7), es.IF(0.7)),
    ],
)
def test_train_takes_the_neuron(nmnist: Path, tmp_path: Path, options: Any, neuron: Any) -> None:
    assert train_quickly(nmnist, tmp_path / "net.h5", *options) == 0
    layers = weight_layers(es.load_network(tmp_path / "net.h5"))
    assert [layer.neuron for layer in layers] == [neuron, neuron]
    assert all(layer.bias is not None for layer in layers)


def test_train_learns_numbers_and_exports_them(
    nmnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "net.h5"
    learning = ("--learn", "threshold, decay", "--learn-per", "channel")
    assert train_quickly(nmnist, out, *learning) == 0
    net = es.load_network(out)
    assert net.provenance["settings"]["learn"] == ["decay", "threshold"]
    for layer, channels in zip(weight_layers(net), (4, 10), strict=True):
        for values in (layer.neuron.decay, layer.neuron.threshold):
            assert len(values) == channels
            assert values != (np.float32(0.3),) * channels
            assert values == pytest.approx((0.3,) * channels, rel=0.05)
    assert "dense kernels" not in capsys.readouterr().err
    run = ("run", out, "--data", "nmnist", "--root", nmnist, "--against-torch", "--limit", 2)
    assert run_command(*run) == 0


def test_train_takes_bias_surrogate_and_normalisation(nmnist: Path, tmp_path: Path) -> None:
    bare, normalised = tmp_path / "bare.h5", tmp_path / "normalised.h5"
    surrogate = ("--surrogate", "fast-sigmoid", "--surrogate-width", 0.5)
    assert train_quickly(nmnist, bare, "--no-bias", *surrogate) == 0
    assert train_quickly(nmnist, normalised, "--batch-norm") == 0
    net = es.load_network(bare)
    assert all(layer.bias is None for layer in weight_layers(net))
    settings = net.provenance["settings"]
    names = ("surrogate", "surrogate_width", "bias", "batch_norm")
    assert [settings[name] for name in names] == ["fast-sigmoid", 0.5, False, False]
    net = es.load_network(normalised)
    assert net.provenance["settings"]["batch_norm"] is True
    assert all(np.any(layer.bias) for layer in weight_layers(net))


def test_train_tells_of_its_epochs_and_its_kernels(
    nmnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("train", "--data", "nmnist", "--root", nmnist, "--structure", "12FC-10")
    grid = ("--dt-us", 10000, "--steps", 4, "--epochs", 2, "--out", tmp_path / "net.h5")
    losses = []
    for kernels, taken in (("auto", "sparse"), ("sparse", "sparse"), ("dense", "dense")):
        assert run_command(*data, *grid, "--kernels", kernels, "--json", "-") == 0
        told = capsys.readouterr()
        document = json.loads(told.out)
        assert document["kernels"] == taken
        assert ("dense kernels: as asked for" in told.err) == (kernels == "dense")
        assert [epoch["epoch"] for epoch in document["history"]] == [1, 2]
        assert all(epoch["seconds"] > 0 for epoch in document["history"])
        losses.append([epoch["loss"] for epoch in document["history"]])
    assert losses[0] == losses[1] == pytest.approx(losses[2], rel=1e-4)


@pytest.mark.parametrize("model", ["rnn", "lstm"])
def test_train_writes_a_recurrent_model(
    model: str, nmnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model.pt"
    options = ("--model", model, "--loss", "rate-inspired", "--mixed-precision")
    more = ("--epochs", 4, "--batch-size", 4, "--learning-rate", 0.005)
    assert train_quickly(nmnist, out, *options, *more) == 0
    assert "Test accuracy 100.00% (6 recordings, run in torch)" in capsys.readouterr().out
    loaded = load_model(out)
    assert (loaded.settings.model, loaded.settings.loss_name) == (model, "rate-inspired")
    assert loaded.settings.mixed_precision
    assert loaded.provenance["test_accuracy"] == 1.0
    assert loaded.class_names[3] == "3"
    test = bin_split(open_dataset("nmnist", nmnist).test, 10_000, 4)
    assert evaluate(loaded.model, test, loss="rate-inspired").accuracy == 1.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "model.pt"]


def test_train_refuses_options_that_do_not_go_together(
    nmnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options, expected in (
        (("--neuron", "if", "--decay", 0.5), "--decay is 0.5, expected none with --neuron if"),
        (("--adaptation", 0.1), "--adaptation is 0.1, expected none with --neuron lif"),
        (("--learn", "decay,tau"), "learn has 'tau', expected decay or threshold"),
        (("--learn-per", "channel"), "--learn-per is 'channel', expected 'layer' where nothing"),
        (("--decay", 1.5), "decay is 1.5, expected 0 to 1"),
        (("--threshold", -1), "threshold is -1.0, expected"),
        (("--surrogate-width", 0), "--surrogate-width is 0.0, expected a number above 0"),
        (("--no-bias", "--batch-norm"), "bias is False with batch_norm, expected True"),
        (("--model", "rnn", "--loss", "rate"), "loss is 'rate', expected one of"),
        (("--kernels", "sparse", "--mixed-precision"), "kernels is 'sparse', expected 'dense'"),
        (("--batch-norm", "--steps", 1), "--steps is 1, expected 2 or more with --batch-norm"),
    ):
        sentence = train_quickly(nmnist, tmp_path / "net.h5", *options)
        assert isinstance(sentence, str), options
        assert expected in sentence
        assert "\n" not in sentence
    assert train_quickly(nmnist, tmp_path / "net.h5", "--neuron", "cuba") == 2
    assert "'cuba' is not one of" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
