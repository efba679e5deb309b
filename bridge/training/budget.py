"""Training within a budget of operations: what a spike costs beside the error of its batch.

The operations of the first layer follow from the input and not from the weights; what they leave of
the budget is allowed to the layers behind. The loss of a batch is its error plus

    price * operations behind the first layer / those allowed

whose gradient is the same for every spike of a neuron: its fan-out times a constant. The price is a
Lagrange multiplier, set by a controller with a proportional and an integral part (Stooke, Achiam
and Abbeel 2020, "Responsive safety in reinforcement learning by PID Lagrangian methods"): it rises
while batches take more than they may, and falls while they take less. Called by `loop.py`.
"""

from __future__ import annotations

from typing import NamedTuple

from .settings import TrainingError

# Batches aim a little below what is allowed, so that the validation set stays within the budget.
MARGIN = 0.95
# Of the price, in units of the loss, for operations that are twice what they may be: at once, and
# more with every batch.
AT_ONCE, EACH_BATCH = 0.02, 0.002


class Price(NamedTuple):
    """What the operations of a batch cost, and from where the price of the next one starts."""

    now: float
    level: float


def aim(budget: int, first_layer: float) -> float:
    """Return how many operations a sample the layers behind the first may take in training.

    `first_layer`: those that the first takes. Raises `TrainingError` where they are more than the
    whole budget.
    """
    if first_layer > budget:
        raise TrainingError(
            f"sop_budget is {budget:,}, expected at least {first_layer:,.1f}: so many a sample the "
            f"input events of the validation set take in the first layer, whatever its weights are"
        )
    return max(MARGIN * (budget - first_layer), 1.0)


def price(level: float, share: float) -> Price:
    """Return the price for a batch that takes that share of what it should aim at."""
    excess = min(share - 1, 1.0)
    level = max(0.0, level + EACH_BATCH * excess)
    return Price(max(0.0, level + AT_ONCE * excess), level)
