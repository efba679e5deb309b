"""Picks the engine, runs one recording or a batch, returns a `Result` for each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TypeVar

import numba

from .checks import is_whole
from .clocked.run import run_recording
from .errors import EventsimError, RecordingError
from .events.arrays import Events
from .network.graph import Network
from .result import DEVICES, MODES, Device, Mode, Result

# Samples in memory at a time: enough to keep the threads busy, few enough for little memory
# and a progress bar that moves.
BATCH = 64
# At most so many are handed to a thread at a time: one by one, a batch on one thread took 0.1 to
# 0.4 ms a sample longer than a loop; by eight, no longer.
TASK = 8

Outcome = TypeVar("Outcome")


def simulate(
    network: Network,
    events: Events | Iterable[Events],
    *,
    steps: int | None = None,
    start_us: int | None = None,
    record_spikes: bool = False,
    mode: Mode = "clocked",
    refractory_us: int | None = None,
    delay_us: int = 0,
    device: Device = "cpu",
) -> Result:
    """Run one recording through a network, clocked at the network's own dt or asynchronously.

    `events`: an array of `EVENT_DTYPE` in time order, or packets: any other iterable of such
    arrays, each of which goes on where the one before ended (`read_packets` makes them from a
    file). They are drawn one by one, so that memory does not grow with them, and the outcome is
    the same however a recording is cut. The grid begins at `start_us` (by default
    with the first event) and has `steps` timesteps (by default the network's `steps`, and without
    those up to the last event); `Result` says how many events lie outside. `record_spikes` keeps
    the spikes of every layer.

    `mode`: "clocked", or "async" for event by event at microsecond times (`asynchronous/`), over
    the same stretch of time. With "async" only, `refractory_us` is the refractory time of every
    layer instead of its own, and `delay_us` what spikes take from each layer to the next.

    `device`: "cpu"; "cuda", a GPU, for many recordings at once (`simulate_batch`), in clocked time;
    or "auto", a GPU where there is one. Spikes and counts are the same.

    Raises `RecordingError` for events that do not fit the network's input, `EventsimError` for
    `steps` or `start_us` that no grid can have, for a network that cannot run in the mode, and
    where there is no GPU for "cuda".
    """
    _check_mode(mode, refractory_us, delay_us)
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
        network, events, steps=steps, start_us=start_us, record_spikes=record_spikes
    )


def simulate_batch(
    network: Network,
    recordings: Iterable[Events | Iterable[Events]],
    *,
    steps: int | None = None,
    start_us: int | None = None,
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
    generator that reads files keeps only a group of them in memory.

    Raises as `simulate`, naming the recording, and `EventsimError` for a number of threads that
    the machine does not have.
    """
    threads = available_threads() if threads is None else threads
    if not is_whole(threads, 1, available_threads()):
        raise EventsimError(f"threads is {threads!r}, expected 1 to {available_threads()}")
    _check_mode(mode, refractory_us, delay_us)
    if on_gpu(device, mode):
        from .clocked.cuda.run import run_on_gpu

        on_device = run_on_gpu(network, recordings, steps=steps, start_us=start_us)
        return _gather(on_device, progress)
    if mode == "async":
        from .asynchronous.run import recording_runner

        run = recording_runner(
            network, steps=steps, start_us=start_us, refractory_us=refractory_us, delay_us=delay_us
        )
    else:
        run = partial(run_recording, network, steps=steps, start_us=start_us)
    return _gather(_spread(run, recordings, threads), progress)


def _spread(
    run: Callable[[Events | Iterable[Events]], Outcome],
    recordings: Iterable[Events | Iterable[Events]],
    threads: int,
) -> Iterator[list[Outcome]]:
    """Run recordings on plain threads, which will do as the kernels run without Python's lock.

    Yields what comes out, in order, some recordings at a time.
    """

    def run_several(several: list[tuple[int, Events | Iterable[Events]]]) -> list[Outcome]:
        outcomes = []
        for index, events in several:
            try:
                outcomes.append(run(events))
            except RecordingError as error:
                raise RecordingError(f"recording {index}: {error}") from None
        return outcomes

    numbered = enumerate(recordings)
    if threads == 1:  # a thread beside this one took 70 us a recording longer
        while group := list(islice(numbered, TASK)):
            yield run_several(group)
        return
    # Two tasks a thread are under way, and as many recordings wait to become tasks: where a group
    # had to end before the next was drawn, the threads waited for the last one of them.
    running: deque[Future[list[Outcome]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        while group := list(islice(numbered, BATCH // 2)):
            size = min(TASK, -(-len(group) // (2 * threads)))
            for first in range(0, len(group), size):
                if len(running) == 2 * threads:
                    yield running.popleft().result()
                running.append(pool.submit(run_several, group[first : first + size]))
        while running:
            yield running.popleft().result()


def _gather(
    several: Iterable[list[Result]], progress: Callable[[int], None] | None
) -> list[Result]:
    results: list[Result] = []
    for some in several:
        results += some
        if progress is not None:
            progress(len(some))
    return results


def _check_mode(mode: Mode, refractory_us: int | None, delay_us: int) -> None:
    if mode not in MODES:
        raise EventsimError(f"mode is {mode!r}, expected one of {MODES}")
    for name, value, unset in (("refractory_us", refractory_us, None), ("delay_us", delay_us, 0)):
        if mode == "clocked" and value != unset:
            raise EventsimError(f"{name} is {value!r}, expected {unset} in clocked time")


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
    """Return how many threads a batch may use."""
    return int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
