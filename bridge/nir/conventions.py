"""What each library makes of NIR's continuous time: the conventions of `as_in`.

NIR states differential equations, tau dv/dt = (v_leak - v) + r I, and no timestep. Each library
has its own way from tau and r to a decay and a gain, its own comparison and its own reset; here
they stand side by side, in both directions. docs/bring-your-network.md has the table.

With d the decay of the membrane, a that of the current, and g the gain of weights and biases, a
timestep is that of `eventsim.network.neurons`:

    i[t] = a i[t-1] + g I[t] (g I[t] without a current)      v[t] = d v[t-1] + i[t]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from eventsim.errors import NetworkError

AsIn = Literal["exact", "snntorch", "norse", "sinabs", "spikingjelly", "lava-dl", "rockpool"]
AS_IN: tuple[AsIn, ...] = get_args(AsIn)

Numbers = NDArray[np.float64]
_LOIHI = 4096  # lava-dl keeps decays as whole multiples of 1 / 4096, as Loihi does


class Leak(NamedTuple):
    """A neuron's parameters in NIR, each an array: those that time enters."""

    tau: Numbers | None  # seconds; None: the membrane keeps all of itself
    r: Numbers
    tau_syn: Numbers | None = None  # None: no current
    w_in: Numbers | None = None


class Discrete(NamedTuple):
    """The same in timesteps."""

    decay: Numbers | None
    gain: Numbers
    current_decay: Numbers | None = None


@dataclass(frozen=True)
class Convention:
    """One library's."""

    name: AsIn
    euler: bool  # decay 1 - dt / tau, or exp(-dt / tau)
    dt_us: int | None = None  # its exporter's own timestep; None: the network's
    at_threshold: bool = False  # whether a membrane equal to the threshold fires
    subtracts: bool = False  # whether it resets by subtraction, whatever v_reset is
    many: bool = False  # whether one timestep may bring several spikes
    floor: bool = False  # whether an IF's membrane stops at minus the threshold
    neurons: tuple[str, ...] = ("IF", "LIF", "CubaLIF", "LI", "CubaLI", "I", "Threshold")
    counts_in_steps: bool = False  # whether tau is a number of timesteps
    if_times_dt: bool = False  # whether an IF's gain is r dt, or r

    def discrete(self, node: str, leak: Leak, dt: float, spikes: bool) -> Discrete:
        """Return decay, gain and current decay for a timestep of dt seconds.

        `spikes`: whether the neuron makes any. Raises `NetworkError` naming the node for a tau
        that the timestep does not fit.
        """
        step = 1.0 if self.counts_in_steps else dt
        decay = None if leak.tau is None else self._decay(node, "tau", leak.tau, step)
        if leak.tau_syn is None:
            return Discrete(decay, self._gain(leak, decay, step, spikes))
        current = self._decay(node, "tau_syn", leak.tau_syn, step)
        assert leak.tau is not None
        return Discrete(decay, self._current_gain(leak, decay, current, step), current)

    def continuous(self, discrete: Discrete, dt: float) -> Leak:
        """Return NIR's parameters that `discrete` makes these of; not finite where none do."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self._continuous(discrete, dt)

    def _continuous(self, discrete: Discrete, dt: float) -> Leak:
        step = 1.0 if self.counts_in_steps else dt
        decay, gain, current = discrete
        one = np.ones(())
        if decay is None:
            return Leak(None, gain / self._gain(Leak(None, one), None, step, True))
        tau = self._tau(decay, step)
        if current is None:
            unit = self._gain(Leak(tau, one), decay, step, True)
            return Leak(tau, self._rockpool_r(tau, decay, dt) if self._rockpool else gain / unit)
        tau_syn = self._tau(current, step)
        if self._rockpool:
            return Leak(tau, self._rockpool_r(tau, decay, dt), tau_syn, one)
        w_in = tau_syn / step
        unit = self._current_gain(Leak(tau, one, tau_syn, w_in), decay, current, step)
        return Leak(tau, gain / unit, tau_syn, w_in)

    @property
    def _rockpool(self) -> bool:
        return self.name == "rockpool"

    def _decay(self, node: str, name: str, tau: Numbers, dt: float) -> Numbers:
        if not (tau > 0).all():
            raise NetworkError(f"{node}: {name} is {tau.min():g}, expected above 0")
        if not self.euler:
            return np.exp(-dt / tau)
        if (tau < dt * (1 - 1e-6)).any():
            raise NetworkError(
                f"{node}: {name} is {tau.min():g} s, expected at least the {dt:g} s that a "
                f"timestep has in {self.name}: set the exporter's timestep (--nir-dt-us), or "
                f"another --as-in"
            )
        decay = np.maximum(1 - dt / tau, 0)
        return np.round(decay * _LOIHI) / _LOIHI if self.name == "lava-dl" else decay

    def _tau(self, decay: Numbers, dt: float) -> Numbers:
        with np.errstate(divide="ignore"):
            return dt / (1 - decay) if self.euler else -dt / np.log(decay)

    def _gain(self, leak: Leak, decay: Numbers | None, dt: float, spikes: bool) -> Numbers:
        if leak.tau is None or decay is None:  # dv/dt = r I
            return leak.r * dt if self.if_times_dt else leak.r
        if self._rockpool:
            return np.ones_like(decay) if spikes else decay
        if self.counts_in_steps:  # sinabs, norm_input=False
            return leak.r
        return _product(leak.r, leak.tau, dt) if self.euler else leak.r * (1 - decay)

    def _current_gain(
        self, leak: Leak, decay: Numbers | None, current: Numbers, dt: float
    ) -> Numbers:
        assert leak.tau is not None
        assert leak.tau_syn is not None
        assert leak.w_in is not None
        assert decay is not None
        if self._rockpool:
            return current * leak.w_in
        if self.euler:
            return _product(leak.r, leak.tau, dt) * _product(leak.w_in, leak.tau_syn, dt)
        # A spike lifts the current by w_in dt / tau_syn as its timestep begins, and the membrane
        # follows the current until its end.
        apart = leak.tau_syn - leak.tau
        same = np.abs(apart) < 1e-6 * leak.tau
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = np.where(same, current * dt / leak.tau**2, (current - decay) / apart)
            return leak.r * leak.w_in * dt * slope

    def _rockpool_r(self, tau: Numbers, decay: Numbers, dt: float) -> Numbers:
        """Return what rockpool's exporter writes for r, by which it knows its timestep again."""
        return tau * decay / dt

    def check_r(self, node: str, leak: Leak, decay: Numbers | None, dt: float) -> None:
        """Raise `NetworkError` where a file's r says that rockpool had another timestep."""
        if not self._rockpool or leak.tau is None or decay is None:
            return
        expected = self._rockpool_r(leak.tau, decay, dt)
        if not np.allclose(leak.r, expected, rtol=1e-3):
            raise NetworkError(
                f"{node}: r is {np.ravel(leak.r)[0]:g}, expected {np.ravel(expected)[0]:g} as "
                f"rockpool writes with a timestep of {dt:g} s: set --nir-dt-us"
            )


def _product(r: Numbers, tau: Numbers, dt: float) -> Numbers:
    """Return r dt / tau; 1 where both are infinite, as exporters write a decay of 1."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(r) & np.isinf(tau), 1.0, r * (dt / tau))


CONVENTIONS: dict[str, Convention] = {
    one.name: one
    for one in (
        Convention("exact", euler=False, if_times_dt=True),
        Convention("snntorch", euler=True, dt_us=100),
        Convention("norse", euler=True, dt_us=1000),
        Convention(
            "sinabs", euler=False, at_threshold=True, subtracts=True, many=True, floor=True,
            neurons=("IF", "LIF", "LI", "I"), counts_in_steps=True,
        ),
        Convention("spikingjelly", euler=True, dt_us=100, at_threshold=True, if_times_dt=True),
        Convention("lava-dl", euler=True, dt_us=100),
        Convention(
            "rockpool", euler=False, at_threshold=True, subtracts=True, many=True,
            neurons=("LIF", "CubaLIF", "LI"),
        ),
    )
}  # fmt: skip
