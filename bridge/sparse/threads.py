"""Threads that share the blocks of a layer: each sums up what is its own, so nobody waits."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise


def share(blocks: int, threads: int, work: Callable[[int, int], object]) -> None:
    """Call `work(first, stop)` for parts of 0 .. blocks - 1, one a thread; return when all did."""
    parts = min(threads, blocks)
    bounds = [blocks * part // parts for part in range(parts + 1)]
    mine, *others = pairwise(bounds)
    helping = [_pool(os.getpid(), threads).submit(work, *pair) for pair in others]
    work(*mine)
    for helper in helping:
        helper.result()


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Return threads beside the caller's, of this process: a fork has none of its parent's."""
    return ThreadPoolExecutor(threads - 1)
