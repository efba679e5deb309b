"""Pieces of work on the workers of a Dask cluster: cells of `compare`, shares of `run`'s data set.

Dask and not Ray: it is only Python, small beside torch, and starts the same way on one machine, on
several by hand, and under the usual batch systems (dask-jobqueue). Workers need the packages, and
the files that the work names, under the same path; what they find comes back over the network, and
only this process writes files. What a worker had is run again, by another, where it is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any, TypeVar

Piece = TypeVar("Piece")
Found = TypeVar("Found")


def run_on_cluster(
    cluster: str,
    work: Callable[[Piece], Found],
    pieces: Iterable[Piece],
    done: Callable[[Piece, Found], None],
) -> None:
    """Run `work` on each piece; `done` is called as they end, in any order.

    `cluster`: the address of a scheduler, or a number of worker processes on this machine.
    """
    import distributed

    dask: Any = distributed  # its types are not written down
    workers: Any = nullcontext(cluster)
    if cluster.isdecimal():
        workers = dask.LocalCluster(
            n_workers=int(cluster), threads_per_worker=1, dashboard_address=None
        )
    with workers as address, dask.Client(address) as client:
        futures = {client.submit(work, piece, pure=False): piece for piece in pieces}
        for future in dask.as_completed(futures):
            done(futures[future], future.result())
