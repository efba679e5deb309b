"""Cells on the workers of a Dask cluster.

Dask and not Ray: it is Python alone, small beside torch, and starts the same way on one machine, on
several by hand, and under the usual batch systems (dask-jobqueue). Workers need the packages and,
for a recorded data set, its folder under the same path; what a cell leaves comes back over the
network, and this process alone writes files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

from .cells import Finished, Todo, run_cell
from .plan import Cell, Plan


def run_on_cluster(
    cluster: str,
    plan: Plan,
    cells: Iterable[Todo],
    done: Callable[[Cell, Finished], None],
) -> None:
    """Run cells on the workers; `done` is called as they end.

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
        futures = {client.submit(run_cell, plan, todo, pure=False): todo.cell for todo in cells}
        for future in dask.as_completed(futures):
            done(futures[future], future.result())
