"""Picks the engine, runs one recording or a batch, returns a `Result` for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

import numba

from .checks import is_whole
from .clocked.run import run_recording
from .errors import EventsimError, RecordingError
from .events.arrays import Events
from .events.binning import BinnedEvents
from .events.recordings import Recording
from .network.graph import Network, check_network
from .result import DEVICES, MODES, Device, Mode, Result

# Recordings that are drawn for each thread before it runs them, so that none waits for the next.
AHEAD = 8

Outcome = TypeVar("Outcome")
Recorded = Events | Iterable[Events] | BinnedEvents


def simulate(
    network: Network,
    events: Recorded,
    *,
    steps: int | None = None,
    start_us: int | None = None,
    record_spikes: bool = False,
    probe: Sequence[str] = (),
    layers: Sequence[int] | None = None,
    times: bool = False,
    threads: int = 1,
    mode: Mode = "clocked",
    refractory_us: int | None = None,
    delay_us: int = 0,
    device: Device = "cpu",
) -> Result:
    """Run one recording through a network, clocked at the network's own dt or asynchronously.

    `events`: an array in time order, of `EVENT_DTYPE` or with such fields (`check_events`), or a
    `Recording`; or packets: any other iterable of such
    arrays, each of which goes on where the one before ended (`read_packets` makes them from a
    file). They are drawn one by one, so that memory does not grow with them, and the outcome is
    the same however a recording is cut. The grid begins at `start_us` (by default
    with the first event) and has `steps` timesteps (by default the network's `steps`, and without
    those up to the last event); `Result` says how many events lie outside. `record_spikes` keeps
    the spikes of every layer. Or `BinnedEvents` (`bin_events`, `from_spikes`, `from_frames`), which
    bring their own start and number of timesteps.

    `probe`: some of "membranes", "currents" (of CUBA-LIF) and "adaptations" (of ALIF), read after
    each timestep into `Result.probes`, in clocked time on the CPU. `layers`: of these layers, by
    their number in `network.layers`, by which `Result.probes` has them; by default of all. The
    outcome and the counts are the same; the run is slower, as it goes timestep by timestep.

    `times`: measure what each layer takes, in clocked time on the CPU, into `Result.times`. The
    outcome is the same; layers are then called one by one, which costs some microseconds a layer
    and stretch of timesteps (a single one where the network is recurrent).

    `threads` share a recording in clocked time on the CPU: the sites of layers of many positions
    that get many spikes; the rest one of them does by itself. They wait for each other without
    sleeping, so it pays for long recordings of convolutional networks, where cores are free.

    `mode`: "clocked", or "async" for event by event at microsecond times (`asynchronous/`), over
    the same stretch of time. With "async" only, `refractory_us` is the refractory time of every
    layer instead of its own, and `delay_us` what spikes take from each layer to the next.

    `device`: "cpu"; "cuda", a GPU, for many recordings at once (`simulate_batch`), in clocked time;
    or "auto", a GPU where there is one. Spikes and counts are the same.

    Raises `RecordingError` for events that do not fit the network's input, `EventsimError` for
    `steps` or `start_us` that no grid can have, for a network that cannot run in the mode, for more
    threads than the machine has, where there is no GPU for "cuda", and for probes of what there is
    not, or them or times beside another mode or device.
    """
    check_network(network)
    _check_threads(threads)
    _check_mode(mode, refractory_us, delay_us)
    _check_looked_at(times, probe, layers, mode, device)
    if on_gpu(device, mode):
        from .clocked.cuda.run import run_on_gpu

        ((result,),) = run_on_gpu(
            network, [events], steps=steps, start_us=start_us, record_spikes=record_spikes,
            named=False,
        )  # fmt: skip
        return result
    if mode == "async":
        from .asynchronous import run as asynchronous

        return asynchronous.run_recording(
            network, events, steps=steps, start_us=start_us, record_spikes=record_spikes,
            refractory_us=refractory_us, delay_us=delay_us,
        )  # fmt: skip
    return run_recording(
        network, events, steps=steps, start_us=start_us, record_spikes=record_spikes,
        probe=probe, layers=layers, threads=threads, times=times,
    )  # fmt: skip


def simulate_batch(
    network: Network,
    recordings: Iterable[Recorded],
    *,
    steps: int | None = None,
    start_us: int | None = None,
    record_spikes: bool = False,
    probe: Sequence[str] = (),
    layers: Sequence[int] | None = None,
    times: bool = False,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
    mode: Mode = "clocked",
    refractory_us: int | None = None,
    delay_us: int = 0,
    device: Device = "cpu",
) -> list[Result]:
    """Run many recordings, spread over `threads` (by default all cores); as `simulate` otherwise.

    The results are the same whatever the number of threads. `progress` is called with the number
    of recordings done since its last call. Recordings are drawn from the iterable in groups, so a
    generator that reads files keeps only a group of them in memory. What `record_spikes` and
    `probe` record of all of them is in the results, so it must fit into memory.

    Raises as `simulate`, naming the recording, and `EventsimError` for a number of threads that
    the machine does not have.
    """
    check_network(network)
    single = isinstance(recordings, Recording | str | Path)
    if single or getattr(getattr(recordings, "dtype", None), "names", None):
        raise EventsimError(
            "recordings are a single one, expected several: eventsim.simulate runs one"
        )
    threads = available_threads() if threads is None else threads
    _check_threads(threads)
    _check_mode(mode, refractory_us, delay_us)
    _check_looked_at(times, probe, layers, mode, device)
    if on_gpu(device, mode):
        from .clocked.cuda.run import run_on_gpu

        on_device = run_on_gpu(
            network, recordings, steps=steps, start_us=start_us, record_spikes=record_spikes
        )
        return _gather(on_device, progress)
    if mode == "async":
        from .asynchronous.run import recording_runner

        run = recording_runner(
            network, steps=steps, start_us=start_us, record_spikes=record_spikes,
            refractory_us=refractory_us, delay_us=delay_us,
        )  # fmt: skip
    else:
        run = partial(
            run_recording, network, steps=steps, start_us=start_us, record_spikes=record_spikes,
            probe=probe, layers=layers, times=times,
        )  # fmt: skip
    return _gather(_spread(run, recordings, threads), progress)


def _spread(
    run: Callable[[Recorded], Outcome],
    recordings: Iterable[Recorded],
    threads: int,
) -> Iterator[list[Outcome]]:
    """Run recordings on plain threads, which will do as the kernels run without Python's lock.

    Yields what comes out, in order, some at a time. This thread draws the recordings and is one of
    those that run them: with two others beside it, which got eight at a time, two threads did 1.25
    to 1.55 times what one does on 32 N-MNIST recordings, and 1.79 on 1,000; now 1.78 and 1.92.
    """
    if threads == 1:  # the queues took 8 us a recording
        for task in enumerate(recordings):
            _, outcome = _attempt(run, task)
            if isinstance(outcome, BaseException):
                raise outcome
            yield [outcome]
        return
    tasks: SimpleQueue[Any] = SimpleQueue()  # numbered recordings; None for no more
    done: SimpleQueue[tuple[int, Outcome | BaseException]] = SimpleQueue()

    def help_out() -> None:
        while task := tasks.get():
            done.put(_attempt(run, task))

    def next_outcome() -> tuple[int, Outcome | BaseException]:
        if done.empty():
            with suppress(Empty):
                return _attempt(run, tasks.get_nowait())
        return done.get()

    helpers: list[Thread] = []
    numbered, drawn, taken = enumerate(recordings), 0, 0
    outcomes: dict[int, Outcome | BaseException] = {}
    try:
        while True:
            for task in islice(numbered, taken + AHEAD * threads - drawn):
                tasks.put(task)
                drawn += 1
                if 1 < drawn <= threads:
                    helpers.append(Thread(target=help_out, daemon=True))
                    helpers[-1].start()
            if taken == drawn:
                return
            index, outcome = next_outcome()
            outcomes[index] = outcome
            some: list[Outcome] = []
            while taken in outcomes:
                found = outcomes.pop(taken)
                if isinstance(found, BaseException):
                    raise found
                some.append(found)
                taken += 1
            if some:
                yield some
    finally:
        with suppress(Empty):
            while True:
                tasks.get_nowait()
        for _ in helpers:
            tasks.put(None)
        for helper in helpers:
            helper.join()


def _attempt(
    run: Callable[[Recorded], Outcome], task: tuple[int, Recorded]
) -> tuple[int, Outcome | BaseException]:
    """Run a numbered recording; return its number, and what comes out or what is to be raised."""
    index, events = task
    try:
        return index, run(events)
    except RecordingError as error:
        return index, RecordingError(f"recording {index}: {error}")
    except BaseException as error:
        return index, error


def _gather(
    several: Iterable[list[Result]], progress: Callable[[int], None] | None
) -> list[Result]:
    results: list[Result] = []
    for some in several:
        results += some
        if progress is not None:
            progress(len(some))
    return results


def _check_threads(threads: int) -> None:
    if not is_whole(threads, 1, available_threads()):
        raise EventsimError(f"threads is {threads!r}, expected 1 to {available_threads()}")


def _check_mode(mode: Mode, refractory_us: int | None, delay_us: int) -> None:
    if mode not in MODES:
        raise EventsimError(f"mode is {mode!r}, expected one of {MODES}")
    if mode == "clocked" and refractory_us is not None:
        raise EventsimError(f"refractory_us is {refractory_us!r}, expected None in clocked time")
    if mode == "clocked" and delay_us != 0:
        raise EventsimError(f"delay_us is {delay_us!r}, expected 0 in clocked time")


def _check_looked_at(
    times: bool, probe: Sequence[str], layers: Sequence[int] | None, mode: Mode, device: Device
) -> None:
    """Refuse times and probes where no engine has them."""
    if (times or probe or layers) and (mode, device) != ("clocked", "cpu"):
        asked = "times is set" if times else f"probe is {probe!r}"
        raise EventsimError(
            f"{asked} with mode {mode!r} and device {device!r}, expected 'clocked' and 'cpu'"
        )


def on_gpu(device: Device, mode: Mode) -> bool:
    """Tell whether to run on a GPU.

    Raises `EventsimError` for "cuda" where there is none, and in asynchronous time.
    """
    if device not in DEVICES:
        raise EventsimError(f"device is {device!r}, expected one of {DEVICES}")
    if device == "cuda" and mode == "async":
        raise EventsimError('device is "cuda" in asynchronous time, expected "cpu" there')
    if device == "cpu" or mode == "async":
        return False
    from .clocked.cuda.device import missing_gpu, require_gpu

    if device == "cuda":
        require_gpu()
    return missing_gpu() is None


def available_threads() -> int:
    """Return how many threads a recording or a batch may use."""
    return int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
