"""One recording on several threads: they share the sites of a layer that gathers.

The thread that runs the network hands out the sites of a layer for a chunk of timesteps, in groups
with a ticket each; whoever is free takes the next ticket. Sites do not concern each other, so the
outcome is the same, bit for bit, whoever visits them. All else, lists of spikes and layers that
scatter, the first thread does by itself. Meanwhile the others ask for tickets without a pause: a
chunk takes a millisecond, and to wake a thread a tenth of one. A helper that has no core to itself
is waited for only until it has done the group that it has begun.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import atomics
from ...jit import Int64s, kernel, kernel_part
from ...operations import COUNTERS
from ...wiring.program import Population, Program
from .sites import visit_sites
from .state import Noted, State

GROUPS = 8  # of sites for each thread: the last one to be done keeps the others waiting
_APART = 32  # int64: two threads that write to neighbouring lines wait for each other


class Ticket(IntEnum):
    """Columns of a team's `tickets`."""

    taken = 0  # so far
    given = _APART  # so far; all of these are done before more are given
    done = 2 * _APART
    over = 3 * _APART  # 1 when no more will come
    # What the tickets are for that were given last:
    first = 4 * _APART  # of them
    layer = first + 1
    size = first + 2  # sites in a group
    before = first + 3
    begin = first + 4
    end = first + 5


class Team(NamedTuple):
    """What the threads of a recording share."""

    tickets: Int64s  # columns as `Ticket`
    counters: NDArray[np.int64]  # (threads, _APART) of a layer in a chunk, then `_PENDING`
    visited: NDArray[np.uint64]  # (helpers, visited) as in `State`


_PENDING = len(COUNTERS)  # column that is 1 where a neuron may fire again without input


def new_team(state: State, threads: int) -> tuple[Team, list[State]]:
    """Allocate what threads share, and what each helper changes of the state by itself."""
    team = Team(
        np.zeros(5 * _APART, np.int64),
        np.zeros((threads, _APART), np.int64),
        np.zeros((threads - 1, len(state.visited)), np.uint64),
    )
    noted, inputs = state.noted, state.inputs
    return team, [
        state._replace(
            noted=Noted._make(None if one is None else np.empty_like(one) for one in noted),
            inputs=inputs if inputs is None else np.zeros_like(inputs),
            visited=visited,
        )
        for visited in team.visited
    ]


@contextmanager
def helping(program: Program, team: Team, states: list[State]) -> Iterator[None]:
    """Have a thread help with each of the states that `new_team` made, meanwhile."""
    team.tickets[:] = 0
    with ThreadPoolExecutor(len(states)) as pool:
        helpers = [
            pool.submit(help_out, program, state, team, thread)
            for thread, state in enumerate(states, 1)
        ]
        try:
            yield
        finally:
            team.tickets[Ticket.over] = 1
    for helper in helpers:
        helper.result()


@kernel_part
def share(
    team: Team | None, program: Program, number: int, state: State, before: int, begin: int,
    end: int, counters: Int64s,
) -> bool:  # fmt: skip
    """Run the sites of a layer through a chunk, with the helpers if there are any.

    `state.visited` is 0. Returns whether a neuron may fire again without input.
    """
    sites = program.populations[number, Population.sites]
    if team is None:
        first = np.int64(0)  # of a plain 0 Numba made a type, and compiled all behind it twice
        return visit_sites(program, number, state, first, sites, before, begin, end, counters)
    tickets, words = team.tickets, ((sites + 63) >> 6) * (end - begin)
    team.visited[:, :words] = 0
    team.counters[:] = 0
    size = -(-sites // (GROUPS * (len(team.counters) + 1)))
    groups, first = -(-sites // size), tickets[Ticket.given]
    tickets[Ticket.layer], tickets[Ticket.size], tickets[Ticket.first] = number, size, first
    tickets[Ticket.before], tickets[Ticket.begin], tickets[Ticket.end] = before, begin, end
    atomics.add(tickets, Ticket.given, groups)
    while atomics.load(tickets, Ticket.done) < first + groups:
        take_one(program, state, tickets, team.counters[0])
    pending = False
    for thread in range(len(team.counters)):
        pending |= team.counters[thread, _PENDING] > 0
        for k in range(len(COUNTERS)):
            counters[k] += team.counters[thread, k]
    for helper in range(len(team.visited)):
        for word in range(words):
            state.visited[word] |= team.visited[helper, word]
    return pending


@kernel
def help_out(program: Program, state: State, team: Team, thread: int) -> None:
    """Do what `share` hands out, until it is over; with the state that `new_team` made for it."""
    while atomics.load(team.tickets, Ticket.over) == 0:
        take_one(program, state, team.tickets, team.counters[thread])


@kernel_part
def take_one(program: Program, state: State, tickets: Int64s, mine: Int64s) -> None:
    """Run a group of sites that nobody else has taken, if there is one."""
    ticket = atomics.load(tickets, Ticket.taken)
    if ticket >= atomics.load(tickets, Ticket.given):
        atomics.give_way()
        return
    if not atomics.replace(tickets, Ticket.taken, ticket, ticket + 1):
        return
    # Only now: as long as this ticket is not done, no others are given.
    number, size = tickets[Ticket.layer], tickets[Ticket.size]
    first = (ticket - tickets[Ticket.first]) * size
    stop = min(first + size, program.populations[number, Population.sites])
    if visit_sites(
        program, number, state, first, stop, tickets[Ticket.before], tickets[Ticket.begin],
        tickets[Ticket.end], mine,
    ):  # fmt: skip
        mine[_PENDING] = 1
    atomics.add(tickets, Ticket.done, 1)
