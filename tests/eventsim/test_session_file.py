"""Saved sessions: restored, they go on as if nothing had been."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_networks import networks
from session_streams import GAP_US, at, draw_session, echo, spiking, streams, told

from eventsim.errors import EventsimError
from eventsim.events.arrays import make_events
from eventsim.live.session import ANSWER_KINDS, Session
from eventsim.live.session_file import BLOCK, MARK
from eventsim.network.graph import Network
from eventsim.network.layers import Dense
from eventsim.network.neurons import ALIF, CUBALIF, LIF
from eventsim.network.pathways import Delay, Flatten
from eventsim.network.storage import save_network
from eventsim.result import MODES

NEURONS = [
    LIF(0.9, 0.4),
    LIF(0.9, 0.4, refractory=2),
    LIF(0.9, 0.4, spikes="many", comparison=">="),
    ALIF(decay=0.9, threshold=0.4, adaptation_decay=0.9, adaptation=0.1),
    CUBALIF(current_decay=0.9, decay=0.8, threshold=0.4),
]


@st.composite
def lasting(draw: st.DrawFn) -> Network:
    """Networks in which much is on its way: delays, recurrence, currents, refractory times."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    neuron = draw(st.sampled_from(NEURONS))
    shape = draw(st.sampled_from([None, (5, 5), 5]))  # none, each to each, each to itself
    recurrent = None if shape is None else rng.normal(0, 0.2, shape)
    bias = rng.normal(0, 0.02, 5) if draw(st.booleans()) and type(neuron) is not CUBALIF else None
    layers = [
        Flatten(), Delay(draw(st.integers(0, 3))),
        Dense(rng.normal(0.1, 0.3, (5, 12)), bias=bias, recurrent=recurrent, neuron=neuron),
        Delay((0, 1, 2, 3, 7)),
        Dense(rng.normal(0.2, 0.3, (3, 5)), neuron=neuron),
    ]  # fmt: skip
    return Network(
        (2, 2, 3), 1000, layers, input_encoding=draw(st.sampled_from(["binary", "counts"]))
    )


def check(data: Any, network: Network, folder: Path) -> None:
    """Cut a stream anywhere, save and restore there; all that follows is the same."""
    events = data.draw(streams(network))
    session = draw_session(data, network)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(events)), min_size=1, max_size=3)))
    parts = np.split(events, cuts)
    session.feed(parts[0])
    if data.draw(st.booleans()):
        session.advance(session.latest_us + data.draw(st.integers(0, 5000)))
    if data.draw(st.integers(0, 5)) == 0:
        session.reset()
    session.save(folder / "session.h5")
    restored = Session.restore(folder / "session.h5", network)
    assert restored.counters == session.counters
    assert restored.operations == session.operations
    for part in parts[1:]:
        assert told(restored.feed(part)) == told(session.feed(part))
    later = session.latest_us + 9000
    assert told(restored.advance(later)) == told(session.advance(later))
    assert restored.counters == session.counters
    assert restored.operations == session.operations


@given(data=st.data())
@settings(max_examples=100)
def test_random_networks_go_on(data: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    network = data.draw(networks(dyadic=False, plain=True))
    for mode in MODES:
        spiking(network, mode)
    assume(all(getattr(layer, "bias", None) is None for layer in network.layers))
    check(data, network, tmp_path_factory.mktemp("sessions"))


@given(data=st.data())
@settings(max_examples=100)
def test_what_is_on_its_way_arrives(data: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(data, data.draw(lasting()), tmp_path_factory.mktemp("sessions"))


GO_ON = """
import sys, eventsim as es
session = es.Session.restore(sys.argv[1], es.load_network(sys.argv[2]))
t = range(1000, 9000, 10)
answers = session.feed(es.make_events(t, [0] * 800, [0] * 800, [1] * 800))
print([(a.t_us, a.scores.tolist()) for a in answers], session.counters, session.operations)
"""


@pytest.mark.parametrize("mode", MODES)
def test_another_process_goes_on(mode: Any, tmp_path: Path) -> None:
    network, saved = tmp_path / "net.h5", tmp_path / "session.h5"
    save_network(echo(), network)
    session = Session(echo(), mode=mode, answer="leaky", leak_us=3000, hop_us=1000, window_us=3000)
    session.feed(at(0, 100, 990))
    session.save(saved)
    t = range(1000, 9000, 10)
    answers = session.feed(make_events(t, [0] * 800, [0] * 800, [1] * 800))
    told_here = [(a.t_us, a.scores.tolist()) for a in answers]
    done = subprocess.run(
        [sys.executable, "-c", GO_ON, saved, network], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{told_here} {session.counters} {session.operations}\n"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("answer", ANSWER_KINDS)
def test_settings_are_saved(mode: Any, answer: Any, tmp_path: Path) -> None:
    session = Session(
        echo(), mode=mode, answer=answer, window_us=5000, hop_us=1000, gap_us=GAP_US,
        leak_us=7000 if answer == "leaky" else None, clock_us=2**32, late_us=300,
    )  # fmt: skip
    session.save(tmp_path / "session.h5")
    restored = Session.restore(tmp_path / "session.h5", echo())
    for name in (
        "mode",
        "answer",
        "window_us",
        "hop_us",
        "leak_us",
        "gap_us",
        "late_us",
        "clock_us",
    ):
        assert getattr(restored, name) == getattr(session, name)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    session = Session(echo(), window_us=5000)
    session.feed(at(0, 100, 990))
    session.save(tmp_path / "session.h5")
    return tmp_path / "session.h5"


def refused(path: Path, sentence: str, network: Network | None = None) -> None:
    with pytest.raises(EventsimError, match=sentence) as caught:
        Session.restore(path, echo() if network is None else network)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_another_network_is_refused(saved: Path) -> None:
    other = Network((1, 1, 2), 1000, [Flatten(), Dense(2 * np.eye(2), neuron=LIF(0.5, 0.5))])
    refused(saved, "network is [0-9a-f]{64}, expected [0-9a-f]{64}$", other)
    slower = Network((1, 1, 2), 2000, [Flatten(), Dense(np.eye(2), neuron=LIF(0.5, 0.5))])
    refused(saved, "network is", slower)
    stricter = Network((1, 1, 2), 1000, [Flatten(), Dense(np.eye(2), neuron=LIF(0.5, 0.6))])
    refused(saved, "network is", stricter)


def test_the_same_network_by_another_name_is_taken(saved: Path) -> None:
    assert Session.restore(saved, echo(class_names=("a", "b"), provenance={"by": "me"}))


@pytest.mark.parametrize(
    ("attribute", "value"), [("version", 2), ("eventsim", "0.0.1"), ("network", "abc")]
)
def test_what_another_version_wrote_is_refused(saved: Path, attribute: str, value: Any) -> None:
    with h5py.File(saved, "r+") as file:
        del file.attrs[attribute]
        file.attrs[attribute] = value
    content = saved.read_bytes()[BLOCK:]
    saved.write_bytes(
        (MARK + hashlib.sha256(content).hexdigest().encode()).ljust(BLOCK, b"\0") + content
    )
    refused(saved, f"{attribute} is {value}, expected ")


def test_other_files_are_refused(saved: Path, tmp_path: Path) -> None:
    refused(tmp_path / "no.h5", "cannot be read, No such file or directory")
    refused(tmp_path, "Is a directory")
    network = tmp_path / "net.h5"
    save_network(echo(), network)
    refused(network, r"the file begins with b'\\x89HDF.*, expected b'eventsim-session")
    (tmp_path / "empty.h5").touch()
    refused(tmp_path / "empty.h5", "the file begins with b'', expected b'eventsim-session")


@given(data=st.data())
@settings(max_examples=100)
def test_a_damaged_file_is_refused(data: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("sessions") / "session.h5"
    session = Session(echo(), window_us=5000)
    session.feed(at(0, 100, 990))
    session.save(path)
    image = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        del image[data.draw(st.integers(0, len(image) - 1)) :]
    else:
        place = data.draw(st.integers(0, 90) | st.integers(0, len(image) - 1))
        image[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(image)
    refused(path, "it is damaged|the file begins with")


def test_a_file_that_cannot_be_written_stays_as_it_was(saved: Path) -> None:
    before = saved.read_bytes()
    session = Session(echo(), window_us=5000)
    with pytest.raises(EventsimError, match=r"no/session\.h5: cannot be written, No such file"):
        session.save(saved.parent / "no" / "session.h5")
    assert saved.read_bytes() == before
