"""ROS bags, as the package rosbags writes them, event by event."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recording_files import EVENTS

from eventsim.errors import RecordingError
from eventsim.events import faults
from eventsim.events.arrays import Sensor
from eventsim.events.recordings import read_packets, read_recording

rosbags = pytest.importorskip("rosbags")

TYPES = {
    "dvs_msgs/msg/Event": "uint16 x\nuint16 y\nbuiltin_interfaces/Time ts\nbool polarity\n",
    "dvs_msgs/msg/EventArray": "std_msgs/Header header\nuint32 height\nuint32 width\n"
    "dvs_msgs/Event[] events\n",
    "event_camera_msgs/msg/EventPacket": "std_msgs/Header header\nuint32 height\nuint32 width\n"
    "uint64 seq\nuint64 time_base\nstring encoding\nbool is_bigendian\nuint8[] events\n",
}
PARTS = np.split(EVENTS, [1, 3, 3])  # one event, two, none, three


def store(ros: int) -> Any:
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    typestore = get_typestore(Stores.ROS1_NOETIC if ros == 1 else Stores.ROS2_HUMBLE)
    for name, text in TYPES.items():
        typestore.register(get_types_from_msg(text, name))
    return typestore


def header(typestore: Any, ros: int) -> Any:
    time = typestore.types["builtin_interfaces/msg/Time"](sec=1, nanosec=2)
    more = {"seq": 3} if ros == 1 else {}
    return typestore.types["std_msgs/msg/Header"](**more, stamp=time, frame_id="camera")


def arrays(typestore: Any, ros: int) -> list[Any]:
    event, time = (typestore.types[name] for name in ("dvs_msgs/msg/Event",
                                                      "builtin_interfaces/msg/Time"))  # fmt: skip
    made = []
    for part in PARTS:
        events = [
            event(x, y, time(t // 10**6, t % 10**6 * 1000), bool(on))
            for t, x, y, on in part.tolist()
        ]
        array = typestore.types["dvs_msgs/msg/EventArray"]
        made.append(array(header(typestore, ros), 30, 40, events))
    return made


def packets(typestore: Any, ros: int, encoding: str) -> list[Any]:
    made = []
    for part in PARTS:
        rows = part.tolist()
        if encoding == "mono":
            block = b"".join(struct.pack("<Q", on << 63 | y << 48 | x << 32 | (t - 1) * 1000)
                             for t, x, y, on in rows)  # fmt: skip
        else:
            words = [
                word
                for t, x, y, on in rows
                for word in (0x8000 | t >> 12, 0x6000 | t & 0xFFF, y, 0x2000 | on << 11 | x)
            ]
            block = struct.pack(f"<{len(words)}H", *words)
        made.append(typestore.types["event_camera_msgs/msg/EventPacket"](
            header(typestore, ros), 30, 40, 1, 1000, encoding, False,
            np.frombuffer(block, np.uint8)))  # fmt: skip
    return made


def write(folder: Path, kind: str, topics: dict[str, list[Any]], typestore: Any) -> Path:
    if kind == "bag":
        from rosbags.rosbag1 import Writer

        path, serialize = folder / "made.bag", typestore.serialize_ros1
        writer: Any = Writer(path)
    else:
        from rosbags.rosbag2 import StoragePlugin
        from rosbags.rosbag2 import Writer as Writer2

        plugin = StoragePlugin.MCAP if kind == "mcap" else StoragePlugin.SQLITE3
        path, serialize = folder / "made" / f"made.{kind}", typestore.serialize_cdr
        writer = Writer2(folder / "made", version=8, storage_plugin=plugin)
    with writer:
        for topic, messages in topics.items():
            name = messages[0].__msgtype__
            connection = writer.add_connection(topic, name, typestore=typestore)
            for number, message in enumerate(messages):
                writer.write(connection, number, serialize(message, name))
    return path


@pytest.mark.parametrize("kind", ["bag", "db3", "mcap"])
@pytest.mark.parametrize("content", ["arrays", "evt3", "mono"])
def test_bags_are_read_event_by_event(kind: str, content: str, tmp_path: Path) -> None:
    ros = 1 if kind == "bag" else 2
    typestore = store(ros)
    messages = (
        arrays(typestore, ros) if content == "arrays" else packets(typestore, ros, content)
    )  # fmt: skip
    path = write(tmp_path, kind, {"/dvs/events": messages}, typestore)
    found = read_recording(path)
    assert found.events.tolist() == EVENTS.tolist()
    assert (found.sensor, found.about.sensor_from) == (Sensor(40, 30), "stated in the file")
    assert found.about.facts == {"topic": "/dvs/events"}
    for size in (1, 4):
        np.testing.assert_array_equal(np.concatenate(list(read_packets(path, size=size))), EVENTS)


def test_topics_and_other_messages(tmp_path: Path) -> None:
    typestore = store(1)
    both = {name: arrays(typestore, 1) for name in ("/left", "/right")}
    path = write(tmp_path, "bag", both, typestore)
    with pytest.raises(RecordingError, match=r"2 event streams \(/left, /right\) and none was"):
        read_recording(path)
    assert read_recording(path, stream=1).about.facts == {"topic": "/right"}
    path.unlink()
    path = write(tmp_path, "bag", {"/h": [header(typestore, 1)]}, typestore)
    with pytest.raises(RecordingError, match="holds messages of std_msgs/msg/Header, expected one"):
        read_recording(path)


def test_bad_encodings_and_cut_bags(tmp_path: Path) -> None:
    typestore = store(1)
    path = write(tmp_path, "bag", {"/e": packets(typestore, 1, "libcaer")}, typestore)
    with pytest.raises(RecordingError, match="has the encoding libcaer, expected evt3 or mono"):
        read_recording(path)
    raw = path.read_bytes()
    for cut in range(1, len(raw), 97):
        path.write_bytes(raw[:cut])
        with pytest.raises(RecordingError, match=f"{path}: "):
            read_recording(path)


def test_events_outside_are_dropped_like_others(tmp_path: Path) -> None:
    typestore = store(2)
    messages = arrays(typestore, 2)
    messages[0].events[0].x = 40
    path = write(tmp_path, "db3", {"/e": messages}, typestore)
    found = read_recording(path, on_bad="drop")
    assert found.events.tolist() == EVENTS[1:].tolist()
    assert found.dropped == {faults.OUTSIDE: 1}
