"""Writing a file in one go: files are replaced, nodes are written to, folders refused."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from pathlib import Path

import pytest

from eventsim.files import check_writable, replacing


def write(path: Path, content: bytes) -> None:
    check_writable(path)
    with replacing(path) as file:
        file.write(content)


def test_a_file_and_what_a_link_leads_to_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    for name, content in (("file", b"one"), ("link", b"two")):
        write(tmp_path / name, content)
        assert (tmp_path / "file").read_bytes() == content
    assert (tmp_path / "link").is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["file", "link"]


@pytest.mark.parametrize("through_link", [False, True])
def test_a_pipe_is_written_to_and_stays_one(through_link: bool, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write(tmp_path / "link" if through_link else pipe, b"content")
    reader.join()
    assert read == [b"content"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]


def test_a_device_is_written_to_and_stays_one(tmp_path: Path) -> None:
    node = tmp_path / "null"
    try:
        os.mknod(node, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes device nodes")
    with contextlib.suppress(OSError):  # a file system without devices
        write(node, b"content")
    assert stat.S_ISCHR(node.lstat().st_mode)
    assert os.listdir(tmp_path) == ["null"]


def test_an_open_file_goes_on(tmp_path: Path) -> None:
    """What /dev/stdout leads to, where stdout was redirected into a file."""
    with (tmp_path / "out").open("wb", buffering=0) as out:
        before = os.fstat(out.fileno()).st_ino
        write(Path(f"/proc/self/fd/{out.fileno()}"), b"content")
    assert (tmp_path / "out").stat().st_ino == before
    assert (tmp_path / "out").read_bytes() == b"content"


def test_a_failure_leaves_a_node_unwritten(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def fail() -> None:
        with replacing(pipe) as file:
            file.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert os.listdir(tmp_path) == ["pipe"]


def test_what_cannot_be_written_is_known_before(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path, sentence in (
        (tmp_path, "this is a folder, expected a file to write"),
        (tmp_path / "no" / "file", f"the folder {tmp_path}/no does not exist"),
        (tmp_path / "file" / "file", f"the folder {tmp_path}/file does not exist"),
    ):
        with pytest.raises(OSError) as error:  # noqa: PT011
            check_writable(path)
        assert (error.value.filename, error.value.strerror) == (str(path), sentence)
