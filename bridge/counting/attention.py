"""How torch's MultiheadAttention is counted: its four weights and its two products of values.

The projections and the attention of each head are computed a second time, to see the values. A
score that a mask hides is computed like any other, and its attention of 0 is skipped.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .axes import Axes
from .counted import Counted, add_up, arriving

_NAMES = (
    "query", "key", "value", "key_padding_mask", "need_weights", "attn_mask",
    "average_attn_weights", "is_causal",
)  # fmt: skip


def uncounted_attention(module: Any, args: Any, kwargs: Any) -> bool:
    """Tell whether it is a form that is not counted: unbatched, extra keys, active dropout."""
    given = dict(zip(_NAMES, args, strict=False)) | kwargs
    extra = module.bias_k is not None or module.add_zero_attn
    nested = any(given[name].is_nested or given[name].ndim != 3 for name in _NAMES[:3])
    return extra or nested or (module.training and module.dropout > 0)


def attention(module: Any, axes: Axes, args: Any, kwargs: Any, output: Any) -> Counted:
    """Count a call of nn.MultiheadAttention."""
    given = dict(zip(_NAMES, args, strict=False)) | kwargs
    options = given | {"need_weights": True, "average_attn_weights": False}
    attended: Any = nn.MultiheadAttention.forward(module, **options)[1]  # (batch, heads, L, S)
    axes = axes._replace(steps_first=False)
    swap = not module.batch_first
    arrives = [given[name].transpose(0, 1) if swap else given[name] for name in _NAMES[:3]]
    arrives = [axes.batch_first(x, 2) for x in arrives]
    batch, width = len(arrives[0]), module.embed_dim
    total: dict[str, Tensor | int] = {}
    projected = []
    biases = [None] * 3 if module.in_proj_bias is None else module.in_proj_bias.chunk(3)
    for x, weight, bias in zip(arrives, _weights(module), biases, strict=True):
        add_up(total, arriving(x, width))
        add_up(total, {
            "dense_macs": weight.numel() * x.shape[1],
            "bias_adds": width * x.shape[1] if bias is not None else 0,
        })  # fmt: skip
        y = nn.functional.linear(x, weight, bias)
        projected.append(y.reshape(*y.shape[:2], module.num_heads, -1).transpose(1, 2))
    query, key, value = projected
    summed = (attended @ value).transpose(1, 2).flatten(2)  # (batch, L, width)
    add_up(total, arriving(summed, width))
    scores, queries = attended[0].numel(), summed.shape[1]
    both = _both(query, key.transpose(-2, -1)) + _both(attended, value)
    add_up(total, {
        "products": both,
        "dense_products": 2 * queries * key.shape[2] * width,
        "dense_macs": width * width * queries,
        "bias_adds": width * queries if module.out_proj.bias is not None else 0,
        "multiplies": width * queries,  # queries by 1 / sqrt(width of a head)
        "compares": scores, "exponentials": scores, "adds": scores, "divisions": scores,
    })  # fmt: skip
    return Counted(batch, total)


def _weights(module: Any) -> list[Tensor]:
    if module.in_proj_weight is not None:
        return list(module.in_proj_weight.chunk(3))
    return [module.q_proj_weight, module.k_proj_weight, module.v_proj_weight]


def _both(a: Tensor, b: Tensor) -> Tensor:
    """Return the products of a @ b whose factors are both not 0, (batch,); double, so exact."""
    found = (a != 0).double() @ (b != 0).double()
    return torch.round(found.flatten(1).sum(dim=1)).long()
