"""What `count` counts of any torch module, against brute force, one value after another."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from eventsim.errors import EventsimError
from eventsim_bridge.counting import Counts, ModuleOperations, count, count_operations
from eventsim_bridge.models import RecurrentNetwork

COUNTS = [field.name for field in fields(ModuleOperations) if field.name != "name"]
seeds = st.integers(0, 2**32 - 1)


def values(*shape: int) -> Tensor:
    """Mostly zeros and ones, and some 2, -1 and 0.5."""
    choice = torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0, 2.0, -1.0, 0.5])
    return choice[torch.randint(len(choice), shape)]


def counted(model: nn.Module, *inputs: Any, **options: Any) -> Counts:
    with torch.no_grad(), count(model, **options) as counts:
        model(*inputs)
    return counts


def check(counts: Counts, expected: list[list[Counter[str]]]) -> None:
    """Compare with the counts of each sample and module."""
    assert len(counts.samples) == len(expected)
    for sample, modules in zip(counts.samples, expected, strict=True):
        assert [
            {name: getattr(layer, name) for name in COUNTS if getattr(layer, name)}
            for layer in sample.layers
        ] == [{name: n for name, n in module.items() if n} for module in modules]


def of_weights(total: Counter[str], x: Tensor, reach: Any) -> None:
    """Count each value of x, which reaches `reach(place)` weights."""
    for place in map(tuple, x.nonzero().tolist()):
        total["input_events"] += 1
        total["acs" if x[place] == 1 else "macs"] += reach(place)


def reached(module: Any, x: Tensor, place: tuple[int, ...], weighted: bool = True) -> int:
    """Send a one through the module alone, whose weights are ones, and whose pools are sums."""
    alone = torch.zeros_like(x)[None]
    alone[(0, *place)] = 1.0
    if weighted:
        return int(module._conv_forward(alone, torch.ones_like(module.weight), None).sum())
    function = {1: nn.functional.avg_pool1d, 2: nn.functional.avg_pool2d}[x.ndim - 1]
    sizes = (module.kernel_size, module.stride, module.padding, module.ceil_mode)
    seen = function(torch.cat([alone, torch.ones_like(alone)]), *sizes, True)[0] != 0
    return int(seen.sum())


@given(seed=seeds, data=st.data())
@settings(max_examples=40)
def test_convolutions_equal_brute_force(seed: int, data: st.DataObject) -> None:
    torch.manual_seed(seed)
    flat, groups = data.draw(st.booleans()), data.draw(st.sampled_from([1, 2]))
    kind: Any = nn.Conv1d if flat else nn.Conv2d
    stride = data.draw(st.integers(1, 2))
    conv = kind(
        2 * groups, 2 * groups, data.draw(st.integers(1, 3)), groups=groups, stride=stride,
        padding="same" if stride == 1 and data.draw(st.booleans()) else 1,
        dilation=data.draw(st.integers(1, 2)), bias=data.draw(st.booleans()),
        padding_mode=data.draw(st.sampled_from(["zeros", "circular", "reflect", "replicate"])),
    )  # fmt: skip
    x = values(2, 2 * groups, *((7,) if flat else (6, 5)))
    expected = []
    for sample in x:
        total: Counter[str] = Counter()
        of_weights(total, sample, lambda place, x=sample: reached(conv, x, place))
        sums = conv(sample[None])[0].detach()
        total["bias_adds"] = sums.numel() if conv.bias is not None else 0
        total["dense_macs"] = sum(conv.weight.numel() for _ in sums[0].flatten())
        expected.append([total])
    counts = counted(conv, x)
    check(counts, expected)
    assert not counts.unknown


@given(seed=seeds, data=st.data())
@settings(max_examples=25)
def test_pools_equal_brute_force(seed: int, data: st.DataObject) -> None:
    torch.manual_seed(seed)
    kinds = [nn.MaxPool1d, nn.AvgPool1d, nn.MaxPool2d, nn.AvgPool2d]
    number = data.draw(st.integers(0, 3))
    size = data.draw(st.integers(2, 3))
    pool: Any = kinds[number](size, data.draw(st.integers(1, 3)), data.draw(st.integers(0, 1)))
    pool.ceil_mode = data.draw(st.booleans())
    x = values(2, 2, *((7,) if number < 2 else (6, 7)))
    name = "pool_adds" if number % 2 else "pool_compares"
    expected = [
        [Counter({name: sum(reached(pool, one, p, False) for p in one.nonzero().tolist())})]
        for one in x
    ]
    check(counted(pool, x), expected)


def step(mode: str, gates: tuple[Tensor, Tensor], state: list[Tensor]) -> list[Tensor]:
    """One timestep of W1 x + b1 and W2 h + b2, written from the formulas."""
    below, back = gates
    if mode == "LSTM":
        i, f, g, o = (below + back).chunk(4)
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return [o.sigmoid() * c.tanh(), c]
    if mode == "GRU":
        (r1, z1, n1), (r2, z2, n2) = below.chunk(3), back.chunk(3)
        z = (z1 + z2).sigmoid()
        return [(1 - z) * (n1 + (r1 + r2).sigmoid() * n2).tanh() + z * state[0]]
    return [(below + back).relu() if mode == "RNN_RELU" else (below + back).tanh()]


WORK: dict[str, tuple[int, dict[str, int]]] = {  # biases and elementwise work of a unit
    "RNN_TANH": (1, {"updates": 1, "tanhs": 1}),
    "RNN_RELU": (1, {"updates": 1, "compares": 1}),
    "LSTM": (4, {"updates": 2, "sigmoids": 3, "tanhs": 2, "multiplies": 3, "adds": 1}),
    "GRU": (4, {"updates": 1, "sigmoids": 2, "tanhs": 1, "multiplies": 2, "adds": 3}),
}


def through_time(
    total: Counter[str], mode: str, weights: list[Any], x: Tensor, state: list[Tensor]
) -> Tensor:
    below, back, bias, bias_back = weights
    biases, work = WORK[mode]
    outputs = []
    for now in x:
        of_weights(total, now, lambda _: len(below))
        total["recurrent_macs"] += sum(len(back) for value in state[0] if value != 0)
        gates = (
            below @ now + (0 if bias is None else bias),
            back @ state[0] + (0 if bias is None else bias_back),
        )
        state = step(mode, gates, state)
        for _ in state[0]:
            total.update(work)
            total["bias_adds"] += biases if bias is not None else 0
        total["dense_macs"] += below.numel()
        total["recurrent_dense_macs"] += back.numel()
        outputs.append(state[0])
    return torch.stack(outputs)


def silence_a_unit(module: nn.Module, units: int) -> None:
    """Have h of the first unit stay 0: its gates have no weights."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter[::units] = 0


@given(seed=seeds, data=st.data(), mode=st.sampled_from(list(WORK)))
@settings(max_examples=30)
def test_recurrent_modules_equal_brute_force(seed: int, data: st.DataObject, mode: str) -> None:
    torch.manual_seed(seed)
    kind: Any = {"LSTM": nn.LSTM, "GRU": nn.GRU}.get(mode, nn.RNN)
    more = {"nonlinearity": mode[4:].lower()} if kind is nn.RNN else {}
    layers, both, first = data.draw(st.tuples(st.integers(1, 2), st.booleans(), st.booleans()))
    options = {"batch_first": first, "bidirectional": both, "bias": data.draw(st.booleans())}
    module = kind(3, 2, layers, **options, **more)
    silence_a_unit(module, 2)
    x, ways = values(2, 4, 3), 1 + both
    starts = [values(layers * ways, 2, 2) for _ in range(2 if mode == "LSTM" else 1)]
    given_state = data.draw(st.booleans())
    starts = starts if given_state else [torch.zeros_like(each) for each in starts]
    expected = []
    for sample in range(2):
        total: Counter[str] = Counter()
        y = x[sample]
        for layer in range(layers):
            outputs = []
            for way in range(ways):
                names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                suffix = f"_l{layer}" + ("_reverse" if way else "")
                weights = [getattr(module, name + suffix, None) for name in names]
                state = [each[layer * ways + way, sample] for each in starts]
                seen = y.flip(0) if way else y
                with torch.no_grad():
                    h = through_time(total, mode, weights, seen, state)
                outputs.append(h.flip(0) if way else h)
            y = torch.cat(outputs, dim=-1)
        expected.append([total])
    state = tuple(starts) if mode == "LSTM" else starts[0]
    inputs = x if first else x.transpose(0, 1)
    counts = counted(module, inputs, *([state] if given_state else []))
    check(counts, expected)
    assert not counts.unknown


@pytest.mark.parametrize("mode", list(WORK))
def test_cells_equal_brute_force(mode: str) -> None:
    torch.manual_seed(1)
    kind: Any = {"LSTM": nn.LSTMCell, "GRU": nn.GRUCell}.get(mode, nn.RNNCell)
    more = {"nonlinearity": mode[4:].lower()} if kind is nn.RNNCell else {}
    cell = kind(3, 4, **more)
    silence_a_unit(cell, 4)
    x, state, expected = values(2, 5, 3), None, []
    with torch.no_grad(), count(cell) as counts:
        for t in range(5):
            state = cell(x[:, t], state)
    weights = [cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh]
    for sample in x:
        total: Counter[str] = Counter()
        with torch.no_grad():
            zeros = [torch.zeros(4)] * (2 if mode == "LSTM" else 1)
            through_time(total, mode, weights, sample, zeros)
        expected.append([total])
    check(counts, expected)


@given(seed=seeds, data=st.data())
@settings(max_examples=15)
def test_attention_equals_brute_force(seed: int, data: st.DataObject) -> None:
    torch.manual_seed(seed)
    first, own, bias = data.draw(st.tuples(st.booleans(), st.booleans(), st.booleans()))
    sizes = {} if own else {"kdim": 3, "vdim": 5}
    module = nn.MultiheadAttention(4, 2, batch_first=first, bias=bias, **sizes)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "in_proj" in name or "q_proj" in name:
                parameter[::3] = 0
    module.eval()
    query, key, value = (
        values(2, 3, 4),
        values(2, 5, 4 if own else 3),
        values(2, 5, 4 if own else 5),
    )
    mask = torch.ones(3, 5, dtype=torch.bool).triu(1) if data.draw(st.booleans()) else None
    inputs = [x if first else x.transpose(0, 1) for x in (query, key, value)]
    counts = counted(module, *inputs, None, data.draw(st.booleans()), mask)
    with torch.no_grad():
        expected = [
            [attention(module, *each, mask)] for each in zip(query, key, value, strict=True)
        ]
    check(counts, expected)
    assert not counts.unknown


def attention(module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any) -> Counter[str]:
    total: Counter[str] = Counter()
    bias = module.in_proj_bias
    weights = module.in_proj_weight
    weights = (
        (module.q_proj_weight, module.k_proj_weight, module.v_proj_weight)
        if weights is None
        else weights.chunk(3)
    )
    projected = []
    for part, (x, weight) in enumerate(zip((query, key, value), weights, strict=True)):
        of_weights(total, x, lambda _: 4)
        total["dense_macs"] += weight.numel() * len(x)
        total["bias_adds"] += 4 * len(x) if bias is not None else 0
        projected.append(x @ weight.T + (0 if bias is None else bias[4 * part : 4 * part + 4]))
    q, k, v = projected
    summed = torch.zeros(len(q), 4)
    for head in (slice(0, 2), slice(2, 4)):
        scores = q[:, head] @ k[:, head].T / 2**0.5
        if mask is not None:
            scores = scores.masked_fill(mask, -torch.inf)
        attended = scores.softmax(-1)
        for i in range(len(q)):
            for j in range(len(k)):
                for unit in range(head.start, head.stop):
                    total["products"] += bool(q[i, unit] != 0 and k[j, unit] != 0)
                    total["products"] += bool(attended[i, j] != 0 and v[j, unit] != 0)
                    total["dense_products"] += 2
                total.update(["compares", "exponentials", "adds", "divisions"])
        summed[:, head] = attended @ v[:, head]
    of_total: Counter[str] = Counter()
    of_weights(of_total, summed, lambda _: 4)
    total.update(of_total)
    total["dense_macs"] += 16 * len(q)
    total["multiplies"] += 4 * len(q)
    total["bias_adds"] += 4 * len(q) if module.out_proj.bias is not None else 0
    return total


class Residual(nn.Module):
    """A block with work in its own `forward`, and a module that is not known."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Dropout())
        self.gelu = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.inner(x) + x
        return self.gelu(x.reshape(x.shape))


def test_what_is_not_known_is_named() -> None:
    model = nn.Sequential(Residual(), nn.BatchNorm1d(4), nn.Flatten()).eval()
    counts = counted(model, values(3, 4))
    names = [layer.name for layer in counts.samples[0].layers]
    assert names == ["0.inner.0 (Linear)", "0.inner.1 (ReLU)", "1 (BatchNorm1d)"]
    assert counts.unknown == {
        "0 (Residual)": Counter(add=12), "0.gelu (GELU)": Counter(gelu=12),
    }  # fmt: skip
    relu, norm = counts.samples[2].layers[1:]
    assert (relu.compares, norm.multiplies, norm.adds) == (4, 4, 4)
    in_training = counted(model.train(), values(3, 4))
    assert {"0.inner.2 (Dropout)", "1 (BatchNorm1d)"} < in_training.unknown.keys()
    assert [len(module._forward_hooks) for module in model.modules()] == [0] * 9


@pytest.mark.parametrize(
    ("module", "x", "operation"),
    [
        (nn.LSTM(3, 4, proj_size=2), torch.ones(2, 1, 3), "lstm"),
        (nn.MultiheadAttention(4, 2, add_bias_kv=True).eval(), torch.ones(2, 1, 4), "bmm"),
        (nn.MaxPool2d(2, dilation=2), torch.ones(1, 1, 5, 5), "max_pool2d_with_indices"),
        (nn.Conv3d(1, 1, 2), torch.ones(1, 1, 3, 3, 3), "convolution"),
    ],
)
def test_forms_that_are_not_counted(module: nn.Module, x: Tensor, operation: str) -> None:
    inputs = (x, x, x) if isinstance(module, nn.MultiheadAttention) else (x,)
    counts = counted(module, *inputs)
    ((name, found),) = counts.unknown.items()
    assert name == f"({type(module).__name__})"
    assert operation in found or {"mm", "addmm"} & found.keys(), found
    assert not counts.samples[0].layers


@pytest.mark.parametrize("loss", ["rate-inspired"])
@pytest.mark.parametrize("structure", ["5FC-4FC-3", "2C3-3FC-2"])
def test_weights_are_counted_as_in_a_network_of_a_structure(structure: str, loss: Any) -> None:
    """The same products: W1 of binary input, then W1 and W2 of real numbers."""
    torch.manual_seed(0)
    model = RecurrentNetwork(structure, (2, 6, 5), cell="lstm")
    frames = (torch.rand(3, 4, 2, 6, 5) < 0.3).float()
    frames[0] = 0
    counts = counted(model, frames, steps_first=True)
    for found, own in zip(counts.samples, count_operations(model, frames, loss=loss), strict=True):
        sums = [layer.acs + layer.macs for layer in found.layers]
        expected = [(each.acs + each.macs, each.recurrent_macs) for each in own.layers]
        assert sums == [n for pair in expected for n in pair][: len(sums)]
        assert (found.layers[0].acs, found.layers[0].input_events) == (
            own.layers[0].acs, own.layers[0].input_events,
        )  # fmt: skip


def test_folded_timesteps_and_samples_are_told_apart() -> None:
    x = torch.zeros(3, 2, 4)  # (steps, samples, ...): sample 1 has events, sample 0 none
    x[:, 1] = 1
    linear = nn.Sequential(nn.Linear(4, 2, bias=False))
    for inputs, options in (
        (x, {"sample_axis": 1, "steps_first": True}),
        (x.transpose(0, 1), {}),
    ):
        assert [s.total.acs for s in counted(linear, inputs, **options).samples] == [0, 24]
    folding = nn.Sequential(nn.Flatten(0, 1), nn.Linear(4, 2))
    for inputs, options in (
        (x, {"sample_axis": 1, "steps_first": True}),
        (x.transpose(0, 1), {}),
    ):
        assert [s.total.acs for s in counted(folding, inputs, **options).samples] == [0, 24]


def test_samples_that_cannot_be_told() -> None:
    linear = nn.Linear(4, 2)
    with count(linear):
        linear(torch.zeros(2, 4))
        with pytest.raises(EventsimError, match="called with 3 samples, expected 2"):
            linear(torch.zeros(3, 4))
    model = nn.Sequential(nn.Flatten(0, 1), linear)
    with pytest.raises(EventsimError, match=r"1 \(Linear\) gets .* \(5, 4\), expected the first"):
        counted(nn.Sequential(nn.ConstantPad1d((0, 0, 0, 2), 0.0), linear), torch.zeros(3, 4))
    with pytest.raises(EventsimError, match="either axis may be the 3 samples"):
        counted(linear, torch.zeros(3, 3, 4), sample_axis=1, steps_first=True)
    with pytest.raises(EventsimError, match="sample_axis is 2, expected 0 or 1"):
        counted(model, torch.zeros(2, 2, 4), sample_axis=2)
    with pytest.raises(EventsimError, match=r"\(LSTM\) gets \(3,\), expected a tensor"):
        counted(nn.LSTM(3, 2), torch.zeros(3))
