"""Networks: what construction settles, and the sentence for each parameter that it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from eventsim.errors import NetworkError
from eventsim.network.graph import Network
from eventsim.network.layers import Conv1d, Conv2d, Dense
from eventsim.network.neurons import ALIF, CUBALIF, IF, LI, LIF
from eventsim.network.pathways import Add, Concatenate, Delay, Flatten
from eventsim.network.pools import AvgPool2d, MaxPool2d, SumPool2d

NEURON = LIF(0.5, 1.0)


# --- what construction settles --------------------------------------------------------------------


def dense(*shape: int, **parameters: Any) -> Dense:
    return Dense(np.ones(shape), **{"neuron": NEURON, **parameters})


def conv(*shape: int, **parameters: Any) -> Conv2d:
    return Conv2d(np.ones(shape), **{"neuron": NEURON, **parameters})


def network(*layers: Any, **parameters: Any) -> Network:
    return Network(**{"input_shape": (2, 3, 4), "dt_us": 1000, "layers": layers, **parameters})


def flat(*layers: Any, **parameters: Any) -> Network:
    return network(Flatten(), *layers, **parameters)


def test_shapes_run_through_the_layers() -> None:
    net = network(
        conv(4, 2, 3, 3, padding=1), MaxPool2d((1, 2)), AvgPool2d(1), Flatten(), dense(5, 24)
    )
    assert net.shapes == ((2, 3, 4), (4, 3, 4), (4, 3, 2), (4, 3, 2), (24,), (5,))
    assert net.outputs == 5
    assert network(conv(4, 2, 3, 3)).outputs == 8  # a map (4, 1, 2)
    assert net.layer_name(1) == "layer 1 (MaxPool2d)"


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_parameters_are_read_only_copies_in_float32(name: str) -> None:
    given_by_user = {"weight": np.full((2, 3), 1 / 3), "bias": np.full(2, 1 / 3)}
    kept = getattr(Dense(**given_by_user, neuron=NEURON), name)
    given_by_user[name][:] = 7
    assert kept.dtype == np.float32
    assert kept.flags.c_contiguous
    assert (kept == np.float32(1 / 3)).all()
    with pytest.raises(ValueError, match="read-only"):
        kept[0] = 1


def test_transposed_weights_become_contiguous_rows() -> None:
    weight = np.arange(6.0).reshape(3, 2).T
    kept = Dense(weight, neuron=NEURON).weight
    assert kept.flags.c_contiguous
    np.testing.assert_array_equal(kept, weight)


def test_numpy_numbers_become_those_of_python() -> None:
    net = flat(
        dense(2, 24), dt_us=np.int64(5000), steps=np.int32(60), input_shape=np.array([2, 3, 4])
    )
    assert (net.dt_us, net.steps, net.input_shape) == (5000, 60, (2, 3, 4))
    layer = conv(2, 1, 1, 1, stride=np.int64(2), padding=np.array([0, 1]), groups=np.int8(2))
    neuron = LIF(np.float32(0.3), 1)
    values = (net.dt_us, net.steps, *net.input_shape, *layer.stride, *layer.padding, layer.groups)
    assert {type(value) for value in values} == {int}
    assert (type(neuron.decay), type(neuron.threshold)) == (float, float)
    assert neuron == LIF(float(np.float32(0.3)), 1.0)


def test_one_number_and_two_mean_the_same() -> None:
    assert AvgPool2d(3) == AvgPool2d((3, 3), (3, 3)) == AvgPool2d([3, 3], 3)
    assert MaxPool2d((2, 3)).stride == (2, 3)
    assert conv(1, 1, 2, 2, stride=2, padding=1, dilation=3).stride == (2, 2)


def test_the_largest_grid_that_the_kernels_can_hold() -> None:
    last = dense(1, 1)
    with pytest.raises(NetworkError, match=re.escape("expected at most 2147483647 values")):
        network(MaxPool2d(2**15), Flatten(), last, input_shape=(2, 2**15, 2**15))
    assert network(MaxPool2d(2**15), Flatten(), last, input_shape=(1, 2**15, 2**15)).outputs == 1


# --- what construction refuses --------------------------------------------------------------------

RAGGED: Any = [[1.0, 2.0], [3.0]]
NAN = [[0.0, np.nan]]

REFUSED: list[tuple[Callable[[], Any], str]] = [
    # neurons
    (lambda: LIF(1.5, 1.0), "LIF: decay is 1.5, expected 0 to 1"),
    (lambda: LIF(-0.1, 1.0), "LIF: decay is -0.1, expected 0 to 1"),
    (lambda: LIF(np.nan, 1.0), "LIF: decay is nan, expected 0 to 1"),
    (lambda: LIF("0.3", 1.0), "LIF: decay is '0.3', expected a number"),
    (lambda: LIF(0.3, None), "LIF: threshold is None, expected a number"),
    (
        lambda: IF(0.0),
        "IF: threshold is 0.0, expected 1.401298464324817e-45 to 3.4028234663852886e+38 (float32)",
    ),
    (lambda: IF(-1.0), "IF: threshold is -1.0, expected"),
    (lambda: IF(1e-50), "IF: threshold is 1e-50, expected"),
    (lambda: IF(1e39), "IF: threshold is 1e+39, expected"),
    (lambda: IF(np.inf), "IF: threshold is inf, expected"),
    (
        lambda: IF(1.0, "soft"),
        "IF: reset is 'soft', expected one of ('zero', 'value', 'subtract', ",
    ),
    (lambda: LIF((0.5, 1.5), 1.0), "LIF: decay is 1.5, expected 0 to 1"),
    (lambda: LIF((), 1.0), "LIF: decay is (), expected a number"),
    (lambda: LIF((0.5, 0.5), (1.0,)), "LIF: parameters have [1, 2] values, expected as many"),
    (lambda: LIF(0.5, 1.0, rest=1.0), "LIF: threshold is 1.0, expected above rest"),
    (lambda: LIF(0.5, 1.0, rest=np.nan), "LIF: rest is nan, expected a finite float32"),
    (
        lambda: LIF(0.5, 1.0, reset_value=0.5),
        'LIF: reset_value is 0.5, expected 0 without reset "value"',
    ),
    (
        lambda: LIF(0.5, 1.0, "value", reset_value=1.0),
        "LIF: reset_value is 1.0, expected below the threshold",
    ),
    (
        lambda: LIF(0.5, 1.0, lower_bound=0.5),
        "LIF: lower_bound is 0.5, expected at most rest and reset_value",
    ),
    (lambda: LIF(0.5, 1.0, refractory=1.5), "LIF: refractory is 1.5, expected whole timesteps"),
    (lambda: LIF(0.5, 1.0, comparison="<"), "LIF: comparison is '<', expected one of ('>', '>=')"),
    (
        lambda: LIF(0.5, 1.0, spikes="many"),
        'LIF: comparison is \'>\', expected ">=" with spikes "many"',
    ),
    (lambda: IF(1.0, input_gain="one-minus-decay"), "IF: input_gain is 'one-minus-decay'"),
    (lambda: CUBALIF(2.0, 0.5, 1.0), "CUBALIF: current_decay is 2.0, expected 0 to 1"),
    (lambda: CUBALIF(0.5, 0.5, 1.0, lower_bound=-1.0), "CUBALIF: lower_bound is -1.0, expected"),
    (lambda: ALIF(0.5, 1.0, 0.9, -0.1), "ALIF: adaptation is -0.1, expected 0 to"),
    (
        lambda: ALIF(0.5, 1.0, 0.9, 0.1, comparison=">=", spikes="many"),
        "ALIF: spikes is 'many', expected 'one'",
    ),
    # recurrence, delays, skip connections, readouts
    (
        lambda: dense(3, 2, recurrent=np.ones((2, 2))),
        "Dense: recurrent has shape (2, 2), expected (3,) or (3, 3)",
    ),
    (
        lambda: conv(3, 2, 1, 1, recurrent=np.ones((3, 3))),
        "Conv2d: recurrent has shape (3, 3), expected (3,)",
    ),
    (
        lambda: dense(3, 2, neuron=LIF((0.5, 0.5), 1.0)),
        "Dense: neuron has parameters for 2 channels, expected one number or 3",
    ),
    (lambda: Delay(-1), "Delay: steps is -1, expected whole timesteps, 0 to"),
    (lambda: network(Delay((1, 2, 3))), "layer 0 (Delay): steps has 3 values, expected 1 or 2"),
    (
        lambda: flat(Delay(tuple(range(24))), dense(1, 24)),
        "layer 1 (Delay): steps has 24 values behind a Flatten, expected one",
    ),
    (lambda: Add((0,)), "Add: sources is (0,), expected the numbers of two or more layers"),
    (lambda: network(Add((-1, 0))), "layer 0 (Add): sources has 0, expected layers before"),
    (
        lambda: network(conv(3, 2, 1, 1), Add((-1, 0)), conv(1, 3, 1, 1)),
        "layer 1 (Add): sources have shapes [(2, 3, 4), (3, 3, 4)], expected one shape",
    ),
    (
        lambda: network(conv(3, 2, 2, 2), Concatenate((-1, 0)), conv(1, 5, 1, 1)),
        "layer 1 (Concatenate): sources have shapes [(2, 3, 4), (3, 2, 3)], expected equal ones",
    ),
    (
        lambda: network(conv(2, 2, 1, 1), conv(2, 2, 1, 1), Add((-1, 0)), conv(1, 2, 1, 1)),
        "layer 1 (Conv2d): its output goes nowhere",
    ),
    (
        lambda: network(conv(2, 2, 1, 1), Add((-1, 0)), MaxPool2d(2), conv(1, 2, 1, 1)),
        "layer 2 (MaxPool2d): the maximum of pooled sums is not a spike",
    ),
    (
        lambda: network(conv(2, 2, 1, 1, neuron=LI(0.5)), conv(1, 2, 1, 1)),
        "layer 0 (Conv2d): LI never spikes, expected it in the last layer",
    ),
    (
        lambda: flat(dense(1, 24, neuron=LI(0.5))),
        "readout is 'spike-count', expected last-membrane or mean-membrane with LI",
    ),
    (lambda: flat(dense(1, 24), readout="max"), "readout is 'max', expected one of ('spike-count'"),
    (
        lambda: network(Conv1d(np.ones((1, 2, 3)), neuron=NEURON)),
        "layer 0 (Conv1d): input has shape (2, 3, 4), expected a map of height 1",
    ),
    # weights and biases
    (lambda: dense(3), "Dense: weight has shape (3,), expected (outputs, inputs)"),
    (lambda: dense(0, 3), "Dense: weight has shape (0, 3), expected (outputs, inputs)"),
    (
        lambda: conv(4, 2),
        "Conv2d: weight has shape (4, 2), "
        "expected (out_channels, in_channels / groups, height, width)",
    ),
    (lambda: Dense(RAGGED, neuron=NEURON), "Dense: weight has rows of different lengths"),
    (lambda: Dense(["a"], neuron=NEURON), "Dense: weight has dtype <U1, expected real numbers"),
    (lambda: Dense([[1j]], neuron=NEURON), "Dense: weight has dtype complex128, expected real"),
    (lambda: Dense(NAN, neuron=NEURON), "Dense: weight at (0, 1) is nan, expected a finite number"),
    (lambda: Dense([[1e39]], neuron=NEURON), "Dense: weight at (0, 0) is inf, expected a finite"),
    (lambda: dense(3, 2, bias=[1, 2]), "Dense: bias has shape (2,), expected (3,)"),
    (lambda: dense(1, 2, bias=[-np.inf]), "Dense: bias at (0,) is -inf, expected a finite number"),
    (lambda: dense(3, 2, neuron=0.3), "Dense: neuron is 0.3, expected one of LIF, IF"),
    (
        lambda: conv(4, 1, 3, 3, groups=3),
        "Conv2d: groups is 3, expected a divisor of 4 output channels",
    ),
    (lambda: conv(4, 1, 3, 3, groups=0), "Conv2d: groups is 0, expected a divisor of 4"),
    (lambda: conv(4, 1, 3, 3, groups=2.0), "Conv2d: groups is 2.0, expected a divisor of 4"),
    # windows
    (
        lambda: conv(1, 1, 3, 3, stride=0),
        "Conv2d: stride is 0, expected a whole number from 1 to 2147483647, or two",
    ),
    (lambda: conv(1, 1, 3, 3, padding=-1), "Conv2d: padding is -1, expected a whole number from 0"),
    (
        lambda: conv(1, 1, 3, 3, dilation=(1, 0)),
        "Conv2d: dilation is (1, 0), expected a whole number",
    ),
    (
        lambda: conv(1, 1, 3, 3, padding="same"),
        "Conv2d: padding is 'same', expected a whole number",
    ),
    (
        lambda: conv(1, 1, 3, 3, stride=2**31),
        "Conv2d: stride is 2147483648, expected a whole number",
    ),
    (lambda: AvgPool2d(2.5), "AvgPool2d: kernel_size is 2.5, expected a whole number from 1"),
    (lambda: MaxPool2d((1, 2, 3)), "MaxPool2d: kernel_size is (1, 2, 3), expected a whole number"),
    (lambda: SumPool2d(2, 0), "SumPool2d: stride is 0, expected a whole number from 1"),
    (lambda: MaxPool2d(2, padding=-1), "MaxPool2d: padding is -1, expected a whole number from 0"),
    (lambda: AvgPool2d(2, divisor=0), "AvgPool2d: divisor is 0, expected a whole number from 1"),
    # resets that reach into the next timestep
    (
        lambda: IF(1.0, "subtract-next", refractory=1),
        "IF: refractory is 1, expected 0 with reset 'subtract-next'",
    ),
    (
        lambda: LIF(0.5, 1.0, "subtract-doubled", lower_bound=-1.0),
        "LIF: lower_bound is -1.0, expected None with reset 'subtract-doubled'",
    ),
    (
        lambda: ALIF(0.5, 1.0, 0.5, 1.0, "none"),
        "ALIF: reset is 'none', expected zero, value or subtract",
    ),
    # how layers follow each other
    (
        lambda: network(conv(4, 3, 3, 3)),
        "layer 0 (Conv2d): weight has shape (4, 3, 3, 3) with 1 groups, so 3 input channels, "
        "but 2 arrive",
    ),
    (
        lambda: network(AvgPool2d(1), conv(2, 2, 4, 3)),
        "layer 1 (Conv2d): a window of (4, 3) does not fit into an input of (3, 4) "
        "with padding (0, 0) and dilation (1, 1)",
    ),
    (
        lambda: flat(dense(5, 24), dense(10, 6)),
        "layer 2 (Dense): weight has shape (10, 6), so 6 inputs, but 5 arrive",
    ),
    (
        lambda: network(dense(5, 24)),
        "layer 0 (Dense): input has shape (2, 3, 4), expected a flat one: put Flatten() before",
    ),
    (
        lambda: flat(dense(5, 24), MaxPool2d(2)),
        "layer 2 (MaxPool2d): input has shape (5,), expected a map (channels, height, width)",
    ),
    (
        lambda: network(AvgPool2d(1), MaxPool2d(1), Flatten(), dense(1, 24)),
        "layer 1 (MaxPool2d): the maximum of pooled sums is not a spike; put MaxPool2d before "
        "SumPool2d, AvgPool2d and Add, or a layer with neurons between them",
    ),
    (
        lambda: network(conv(1, 2, 1, 1, padding=2**30)),
        "layer 0 (Conv2d): output has shape (1, 2147483651, 2147483652), expected at most "
        "2147483647 values",
    ),
    (
        lambda: flat("Dense"),
        "layer 1 (str): 'Dense' is no layer, expected one of Dense, Conv2d, Conv1d, SumPool2d, "
        "AvgPool2d, MaxPool2d, Upsample, Flatten, Delay, Add, Concatenate",
    ),
    (lambda: flat(), "the last layer has no neurons, expected a Dense, Conv2d or Conv1d"),
    (lambda: network(), "the last layer has no neurons, expected a Dense, Conv2d or Conv1d"),
    # the network
    (lambda: flat(dense(1, 24), input_shape=34), "input_shape is 34, expected a sequence"),
    (lambda: network(layers=None), "layers is None, expected a sequence"),
    (lambda: flat(dense(2, 24), class_names="ab"), "class_names is 'ab', expected a sequence"),
    (
        lambda: flat(dense(1, 24), input_shape=(3, 3, 4)),
        "input_shape is (3, 3, 4), expected (1 or 2 polarities, height, width)",
    ),
    (lambda: flat(dense(1, 24), input_shape=(2, 0, 4)), "input_shape is (2, 0, 4), expected"),
    (lambda: flat(dense(1, 24), input_shape=(2, 12)), "input_shape is (2, 12), expected"),
    (lambda: flat(dense(1, 24), input_shape=(2, 3.5, 4)), "input_shape is (2, 3.5, 4), expected"),
    (
        lambda: flat(dense(1, 24), dt_us=0),
        "dt_us is 0, expected whole microseconds, 1 to 2^63 - 1",
    ),
    (lambda: flat(dense(1, 24), dt_us=1e3), "dt_us is 1000.0, expected whole microseconds"),
    (lambda: flat(dense(1, 24), dt_us=2**63), "dt_us is 9223372036854775808, expected whole"),
    (
        lambda: flat(dense(1, 24), input_encoding="rate"),
        "input_encoding is 'rate', expected one of ('binary', 'counts')",
    ),
    (lambda: flat(dense(1, 24), steps=0), "steps is 0, expected 1 to 2147483646, or None"),
    (lambda: flat(dense(1, 24), steps=2.5), "steps is 2.5, expected 1 to 2147483646, or None"),
    (
        lambda: flat(dense(2, 24), class_names=["a"]),
        "class_names has 1 names, expected 2, one for each output neuron",
    ),
    (lambda: flat(dense(1, 24), class_names=[7]), "class_names has 7 at 0, expected a string"),
]


@pytest.mark.parametrize(("build", "sentence"), REFUSED, ids=[text[:50] for _, text in REFUSED])
@pytest.mark.filterwarnings("error")
def test_refused_parameters_are_named_with_their_value(
    build: Callable[[], Any], sentence: str
) -> None:
    with pytest.raises(NetworkError) as caught:
        build()
    assert str(caught.value).startswith(sentence)
