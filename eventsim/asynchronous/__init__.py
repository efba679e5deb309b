"""The engine without a grid: event by event, at microsecond times.

The same network file means the same as in clocked time, but for the following.

**Time** is whole microseconds since the start. Between events every membrane follows the closed
form of its clocked silence at a real number of timesteps f = elapsed / dt_us:

    LIF, IF, LI, ALIF   u decay^f + bias (1 - decay^f) / (1 - decay)      (decay 1: u + bias f;
                        decay 0: u while f = 0, and bias after that)
    CUBALIF             u decay^f + i a (a^f - decay^f) / (a - decay),  i a^f   (a: current_decay;
                        a = decay: u decay^f + i f a^f); its bias must be 0 here
    ALIF                the adaptation too: a adaptation_decay^f

which is a time constant tau = -dt_us / ln(decay). `lower_bound` clamps after that, and after input.
An input adds to the membrane at once, for CUBALIF to the current as well. A spike of ALIF adds 1 to
the adaptation at once (in clocked time it is felt from the next timestep on).

**An instant** is a sweep over the layers in order that takes no time: sites that are reached are
brought up to date, weights are added in the order of the spikes, membranes are compared and reset,
and their spikes, in ascending order of neurons, go on to the layers behind in the same instant.
Every input event is an instant of its own, in the order of the recording, even of events at one
time; each has the value 1, whatever `input_encoding` says. Spikes that a delay brings to time t,
and neurons that fire by themselves at t, form one instant, before the input events of t.

**Delays**: `Delay(d)` is d dt_us microseconds, recurrence takes dt_us. A max pool is the OR of the
spikes that *arrive* in an instant: delays act first, on whichever side of the pool they stand.

**Firing without input** (bias, current, falling threshold, end of refractory time): at the first
whole microsecond at which the closed form crosses the threshold.

**Reset by subtraction** of a neuron that stays over threshold: it fires again in the same instant,
until it is not; each is a spike of its own on the way on. A layer that spikes 2^24 times or more
in an instant runs away: the run ends with an error. With `spikes="many"`
it is one graded spike, as in clocked time.

**Refractory time**: `refractory` dt_us microseconds from the spike on the membrane is held, and
what would be added to it is lost (a current goes on, and takes its input); it is free again at
exactly the end. A neuron with refractory time fires once in an instant.

**Readouts**: spikes counted; time of the first in microseconds; membranes at the end; membranes
averaged over time, the integral in closed form.

tables.py     where the kernels find what
layout.py     Program -> few flat arrays, because what a call costs grows with every argument
kernels.py    the instants: add, compare, reset
arrivals.py   spikes reach a layer
membranes.py  one neuron between events: where it stands, when it will cross
schedule.py   what is due: delayed spikes, and neurons that will fire by themselves
run.py        `AsynchronousRun`, and `simulate`'s way in
reference.py  all of this in plain dense NumPy, microsecond by microsecond
"""

from .run import AsynchronousRun

__all__ = ["AsynchronousRun"]
