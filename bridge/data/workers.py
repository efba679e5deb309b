"""Work on many recordings in worker processes, with the results in order.

In: a function of a recording's number. Out: what it returns for each, whatever the number of
processes. `frames.py` reads and bins with it.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

from eventsim.simulator import available_threads

Result = TypeVar("Result")

# Without a given number of workers this process works alone for so long, and goes on alone if at
# that speed it will be done in as long again. Reading and binning takes 0.45 ms a recording of
# N-MNIST: a thousand are done before, 60,000 would take 27 s. Two processes started in 0.08 s and
# left 0.05 ms a recording to this one; together they used a tenth more processor time than one.
ALONE_S = 1.0
FORKS = sys.platform == "linux"


def in_order(
    function: Callable[..., Result], shared: tuple[Any, ...], count: int, workers: int | None = None
) -> Iterator[Result]:
    """Yield function(*shared, index) for all `count` indices in order.

    `workers`: so many processes, or with 1 this one alone. With None this process begins alone, and
    on Linux a process for each core takes over where much is left to do. (Elsewhere a new process
    runs the caller's main module again, which that must be written for.) Function, arguments and
    results pass between processes, so that they must be picklable; an error is raised here as it
    was there.
    """
    done = 0
    if workers is None or workers == 1:
        began = time.perf_counter()
        alone = workers == 1 or available_threads() == 1 or not FORKS
        while done < count and (alone or not _is_long(time.perf_counter() - began, done, count)):
            yield function(*shared, done)
            done += 1
    if done < count:
        workers = available_threads() if workers is None else workers
        context = multiprocessing.get_context("fork" if FORKS else None)
        with ProcessPoolExecutor(workers, context, _begin, (function, shared)) as pool:
            yield from pool.map(_work, range(done, count), chunksize=_chunk(count - done, workers))


def _is_long(seconds: float, done: int, count: int) -> bool:
    return seconds > ALONE_S and seconds * (count - done) > ALONE_S * done


def _chunk(count: int, workers: int) -> int:
    """Return how many indices pass at a time: many where there are many, few near the end."""
    return max(1, min(64, count // (8 * workers)))


# Set in a worker when it starts, so that the arguments, which may be large, pass only once.
_task: tuple[Callable[..., Any], tuple[Any, ...]]


def _begin(function: Callable[..., Any], shared: tuple[Any, ...]) -> None:
    global _task
    _task = function, shared


def _work(index: int) -> Any:
    function, shared = _task
    return function(*shared, index)
