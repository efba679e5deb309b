"""Damaged recordings: what is wrong with each, its bytes, and the sentence that it gets."""

from __future__ import annotations

import io
import re
import struct
from typing import Any

import numpy as np
from recording_files import (
    DAT,
    EVENTS,
    EVT2,
    EVT3,
    WHOLE,
    WRITERS,
    by_numpy,
    dat,
    evt2,
    evt2_event,
    evt2_high,
    evt3,
    hdf5,
    nmnist,
)

from eventsim.events.arrays import Events, make_events

TWO = make_events([5, 9], [1, 2], [1, 2], [1, 0])


BACKWARDS = make_events([10, 5], [1, 2], [1, 2], [1, 0])


def changed(events: Events, field: str, value: int) -> Events:
    copy = events.copy()
    copy[field][1] = value
    return copy


def saved(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def gesture(*last: float) -> bytes:
    """Return an array of tonic's DVSGesture whose times are plainly milliseconds, and one row."""
    return saved(np.array([*([1, 2, 1, 0.5 + i / 1000] for i in range(16)), last]))


def fields(**dtypes: str) -> Any:
    return np.zeros(3, list(dtypes.items()))


def in_hdf5(**datasets: Any) -> bytes:
    return hdf5(lambda file, _: [file.__setitem__(*item) for item in datasets.items()])(TWO)


def aedat(old: bytes = b"", new: bytes = b"", which: int = 0) -> bytes:
    """Return an uncompressed file with one occurrence of `old` replaced."""
    raw = WRITERS["plain.aedat"](EVENTS)
    at = list(re.finditer(re.escape(old), raw))[which].start()
    return raw[:at] + new + raw[at + len(new) :]


def with_packet_of(size: int) -> bytes:
    """Return a file whose first packet says that it has so many bytes."""
    raw = WHOLE["zstd.aedat4"]
    at = 18 + struct.unpack_from("<I", raw, 14)[0] + 4
    return raw[:at] + struct.pack("<I", size) + raw[at + 4 :]


ES = WHOLE["faery.es"]


DAMAGE: dict[str, tuple[str, bytes, str]] = {
    # misnamed, in both directions, and empty
    "unknown suffix": ("a.xyz", b"1",
                       r"the file begins with b'1' and has the suffix \.xyz, expected .*"),
    "no suffix": ("a", b"1", r"the file begins with b'1' and has the suffix \(none\), expected .*"),
    "a pointer of Git LFS": ("a.raw", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
                             r"the file is a pointer of Git LFS, expected the recording .*"),
    "a web page": ("a.raw", b"<!DOCTYPE html><html>", r"the file is a web page, expected a .*"),
    **{
        f"empty {name[1:]}": (name, b"", r"the file is empty \(0 bytes\), expected .+")
        for name in ("a.bin", "a.raw", "a.dat", "a.aedat4", "a.es", "a.csv", "a.npy", "a.h5")
    },
    **{
        f"N-MNIST as {name[1:]}": (
            name, WHOLE["nmnist.bin"],
            rf"the file begins with b'.+', expected b['\"]{magic}.*['\"] \(.+\)",
        )
        for name, magic in {
            "a.raw": "% ", "a.dat": "% ", "a.aedat4": "#!AER-DAT4", "a.es": "Event Stream",
            "a.npy": r"\\x93NUMPY", "a.npz": "PK", "a.h5": r"\\x89HDF",
        }.items()
    },
    "N-MNIST as .csv": ("a.csv", b"\x22\x21\x80\x00\x01",
                        r"byte 2 is 0x80, expected text"),
    "AEDAT 3.1 cut in its header": ("a.aedat", b"#!AER-DAT3.1\r\n",
                                    r"cut short in its header, expected a line b'#!END-HEADER'"),
    "AEDAT 3.1 cut": ("a.aedat", WHOLE["v31.aedat"][:-3],
                      r"cut short: packet 1 ends at byte \d+, expected 6 records of 8 bytes .*"),
    "AEDAT 3.1 cut in a packet": ("a.aedat", WHOLE["v31.aedat"][:-54],
                                  r"cut short: packet 1 has 22 bytes, expected 28"),
    "AEDAT 2.0 cut": ("a.aedat", WHOLE["dvs128.aedat"][:-3],
                      r"cut short: record 5 has 5 bytes, expected 8"),
    "AEDAT 2.0 of no camera": ("a.aedat", b"#!AER-DAT2.0\r\n" + struct.pack(">II", 1 << 22, 1),
                               r"the comment names no camera, and the addresses are not .*"),
    # N-MNIST
    "N-MNIST cut": ("a.bin", WHOLE["nmnist.bin"][:-2],
                    r"cut short: record 5 has 3 bytes, expected 5"),
    # Prophesee DAT
    "DAT cut": ("a.dat", dat((1, 2, 3, 1))[:-1], r"cut short: record 0 has 7 bytes, expected 8"),
    "DAT cut in its header": ("a.dat", DAT[:-1],
                              r"type and size of the records are 0c after the header, expected .*"),
    "DAT outside": ("a.dat", dat((1, 40, 3, 1)),
                    r"event 0: x is 40, expected 0 to 39 on a 40 x 30 sensor"),
    "DAT polarity": ("a.dat", dat((1, 2, 3, 1), (2, 2, 3, 5)),
                     r"event 1: polarity is 5, expected 0 or 1, or -1 or 1"),
    "DAT version": ("a.dat", b"% Version 3\n\x0c\x08",
                    r"the header states version 3, expected 1 or 2"),
    "DAT without a version": ("a.dat", b"% Data file\n\x00\x08",
                              r"the header states version \(none\), expected 1 or 2"),
    "DAT triggers": ("a.dat", DAT[:-2] + b"\x0e\x08",
                     r"type and size of the records are 0e 08 after the header, expected 00 08 .*"),
    "DAT sensor zero": ("a.dat", DAT.replace(b"Width 40", b"Width 0"),
                        r"sensor: width is 0, expected 1 to 65536"),
    # Prophesee RAW
    "EVT2 cut": ("a.raw", evt2(evt2_high(64), evt2_event(64))[:-1],
                 r"cut short: record 1 has 3 bytes, expected 4"),
    "EVT3 cut": ("a.raw", evt3(0x8000)[:-1], r"cut short: record 0 has 1 bytes, expected 2"),
    "EVT4": ("a.raw", b"% evt 4.0\n",
             r"the header states version 4\.0, expected 2\.0 or 2\.1 or 3\.0"),
    "EVT2.1 cut": ("a.raw", WHOLE["evt21.raw"][:-3],
                   r"cut short: record 11 has 5 bytes, expected 8"),
    "EVT2.1 no time": ("a.raw", b"% evt 2.1\n" + struct.pack("<Q", 1),
                       r"word 0: an event before the first TIME_HIGH, so it has no time"),
    "EVT2.1 undefined": ("a.raw", b"% evt 2.1\n" + struct.pack("<Q", 5 << 60),
                         r"word 0: type is 5, expected 0 1 8 a e f \(EVT 2\.1\)"),
    "EVT versions": ("a.raw", b"% evt 2.0\n% format EVT3;width=4;height=3\n",
                     r"the header states version 2\.0 and 3, expected .*"),
    "EVT without a version": ("a.raw", b"% geometry 4x3\n",
                              r"the header states version \(none\), expected .*"),
    "EVT sensors": ("a.raw", EVT2.replace(b"width=40", b"width=41"),
                    r"the header states width 41 and 40, expected one"),
    "EVT big-endian": ("a.raw", EVT3 + b"% endianness big\n",
                       r"the header states endianness big, expected little"),
    "EVT2 outside": ("a.raw", evt2(evt2_high(64), evt2_event(64, y=30)),
                     r"event 0: y is 30, expected 0 to 29 on a 40 x 30 sensor"),
    "EVT3 outside": ("a.raw", evt3(0x8000, 0x0003, 0x3023, 0x4FFF),
                     r"event 5: x is 40, expected 0 to 39 on a 40 x 30 sensor"),
    "EVT2 undefined": ("a.raw", evt2(evt2_high(64), 5 << 28),
                       r"word 1: type is 5, expected 0 1 8 a e f \(EVT 2\.0\)"),
    "EVT3 undefined": ("a.raw", evt3(0x8000, 0x9000),
                       r"word 1: type is 9, expected 0 2 3 4 5 6 7 8 a e f \(EVT 3\.0\)"),
    "EVT2 no time": ("a.raw", evt2(evt2_event(1), evt2_high(64)),
                     r"word 0: an event before the first TIME_HIGH, so it has no time"),
    "EVT3 no time": ("a.raw", evt3(0x0001, 0x2001, 0x8000),
                     r"word 1: an event before the first TIME_HIGH, so it has no time"),
    "EVT3 no y": ("a.raw", evt3(0x8000, 0x2001),
                  r"word 1: an event before the first ADDR_Y, so it has no y"),
    "EVT3 no x": ("a.raw", evt3(0x8000, 0x0001, 0x2001, 0x4001),
                  r"word 3: an event before the first VECT_BASE_X, so it has no x"),
    # AEDAT4
    "AEDAT4 cut": ("a.aedat4", WHOLE["lz4.aedat4"][:740],
                   r"cut short: the file has 740 bytes, expected its table of packets at byte \d+"),
    "AEDAT4 cut in its header": ("a.aedat4", WHOLE["lz4.aedat4"][:300],
                                 r"cut short or damaged in its header: the file has 300 .*"),
    "AEDAT4 packet size": ("a.aedat4", with_packet_of(3_039_297_536),
                           r"cut short or damaged: packet 0 at byte \d+ has 3039297536 bytes, "
                           r"expected at most \d+ up to the table of packets"),
    "AEDAT4 packet before its table": ("a.aedat4", with_packet_of(5),
                                       r"cut short or damaged: packet 1 at byte \d+ has \d+ .*"),
    "AEDAT4 cut to the magic": ("a.aedat4", WHOLE["lz4.aedat4"][:20],
                                r"cut short or damaged in its header: the file has 20 .*"),
    "AEDAT4 not UTF-8": ("a.aedat4", aedat(b"outInfo", b"\xc8"),
                         r"the description in the header is damaged: 'utf-8' codec can't .*"),
    "AEDAT4 not XML": ("a.aedat4", aedat(b"</attr>", b"<<"),
                       r"the description in the header is damaged: not well-formed .*"),
    "AEDAT4 no events": ("a.aedat4", aedat(b"EVTS", b"IMUS"),
                         r"the file holds 0 event streams, expected 1 or more"),
    "AEDAT4 outside": ("a.aedat4", aedat(struct.pack("<qHH", 20, 1, 3), struct.pack("<qH", 20, 40)),
                       r"cannot be decoded, faery says: x overflow \(x=40 must be .* width=40\)"),
    "AEDAT4 backwards": ("a.aedat4", aedat(struct.pack("<qHH", 10, 0, 0), struct.pack("<q", 15)),
                         r"packet 0: t is decoded as 15 to 9001 us, expected 10 to 9001 \(.*\); "
                         r"time runs backwards or the file is damaged"),
    "AEDAT4 backwards at its end": (
        "a.aedat4", aedat(struct.pack("<qH", 9001, 5), struct.pack("<q", 8001)),
        r"packet 0: t is decoded as 10 to 9000 us, expected 10 to 9001 \(.*\); time runs .*",
    ),
    # Event Stream
    "ES cut": ("a.es", ES[:-2],
               r"cut short or damaged: 3 bytes are left after 5 events, expected whole events"),
    "ES cut in its header": ("a.es", ES[:17],
                             r"cannot be decoded, faery says: failed to fill whole buffer"),
    "ES version": ("a.es", ES[:12] + b"\x01" + ES[13:],
                   r"cannot be decoded, faery says: bad magic number \(expected 2.x.y, got .*"),
    "ES outside": ("a.es", ES[:20] + b"\x01\x28\x00\x00\x00",
                   r"cannot be decoded, faery says: x overflow \(x=40 must be .* width=40\)"),
    "ES of another type": ("a.es", b"Event Stream\x02\x00\x00\x02\x28\x00\x1e\x00",
                           r"the events are of type atis, expected dvs"),
    # text
    "text cut in a line": ("a.csv", b"t,x,y,on\n1,2,3,1\n4,5",
                           r"line 3 is '4,5', expected 4 numbers"),
    "text missing column": ("a.csv", b"t,x,y,on\n1,2,3,1\n4,5,1\n",
                            r"line 3 is '4,5,1', expected 4 numbers"),
    "text other names": ("a.csv", b"t,x,y,z\n1,2,3,1\n",
                         r"the columns are t, x, y, z, expected t, x, y and on \(or p\), .*"),
    "text no order": ("a.csv", b"1,2,3,1\n",
                      r"the columns have no names and could be several orders of t, x, y and .*"),
    "text three columns": ("a.csv", b"1,2,3\n", r"the first row is '1, 2, 3', expected t, x, .*"),
    "text fraction": ("a.csv", b"t,x,y,on\n1,2.5,3,1\n",
                      r"line 2 is '1,2\.5,3,1', expected whole numbers in range"),
    "text unit": ("a.csv", b"t,x,y,on\n1.5,2,3,1\n",
                  r"t is from 1\.5 to 1\.5 in 1 events, which may be of several units, .*"),
    "text nan": ("a.csv", b"t,x,y,on\nnan,2,3,1\n", r"line 2 is 'nan,2,3,1', expected 4 numbers"),
    "text word": ("a.csv", b"t,x,y,on\n1,2,3,1\n1,2,ON,1\n",
                  r"line 3 is '1,2,ON,1', expected 4 numbers"),
    "text huge": ("a.csv", b"t,x,y,on\n%s,2,3,1\n" % (b"9" * 30),
                  r"line 2 is '9{30},2,3,1', expected whole numbers in range"),
    "text negative": ("a.csv", b"t,x,y,p\n1,2,3,0\n-5,2,3,1\n",
                      r"event 1: t is -5, expected 0 to 9223372036854775807"),
    "text polarity": ("a.csv", b"t,x,y,p\n1,2,3,2\n",
                      r"event 0: polarity is 2, expected 0 or 1, or -1 or 1"),
    "text outside": ("a.csv", b"t,x@2,y@4,p\n1,2,3,1\n",
                     r"event 0: x is 2, expected 0 to 1 on a 2 x 4 sensor"),
    "text of no numbers": ("a.txt", b"\n# nothing\n", r"the first row is '\(none\)', expected .*"),
    # NumPy
    "NPY cut": ("a.npy", WHOLE["structured.npy"][:-1],
                r"cannot be decoded, numpy says: EOF: reading array data, expected .*"),
    "NPY with a tail": ("a.npy", WHOLE["structured.npy"] + b"xy",
                        r"2 bytes follow the array, expected none"),
    "NPY object": ("a.npy", saved(np.array([{}], object), allow_pickle=True),
                   r"cannot be decoded, numpy says: Object arrays cannot be loaded when .*"),
    "NPY pickle": ("a.npy", b"\x80\x04K\x01.", r"the file begins with b'.*', expected .*NUMPY.*"),
    "NPY fields": ("a.npy", saved(fields(t="u8", x="u2", y="u2")),
                   r"the fields are t, x, y, expected t, x, y and on \(or p\), or t and unit"),
    "NPY float time": ("a.npy", saved(fields(t="f8", x="u2", y="u2", p="?")),
                       r"t is from 0\.0 to 0\.0 in 3 events, which may be of several units, .*"),
    "NPY text": ("a.npy", saved(fields(t="u8", x="S2", y="u2", p="?")),
                 r"field x has dtype \|S2 and shape \(3,\), expected one dimension of numbers"),
    "NPY shape": ("a.npy", saved(np.zeros((3, 5))),
                  r"the array has dtype float64 and shape \(3, 5\), expected fields t, x, y .*"),
    "NPY backwards": ("a.npy", saved(BACKWARDS),
                      r"event 1: time runs backwards, t is 5 us after 10 us; expected .*"),
    "NPY beyond 2^63": ("a.npy", saved(changed(TWO, "t", 2**63)),
                        r"event 1: t is 9223372036854775808, expected 0 to 9223372036854775807"),
    "gesture nan": ("a.npy", gesture(1, 2, 1, np.nan),
                    r"event 16: t is nan, expected a finite number"),
    "gesture negative": ("a.npy", gesture(1, 2, 1, -0.5),
                         r"event 16: t is -500\.0, expected 0 to 9223372036854775807"),
    "gesture columns": ("a.npy", gesture(0.5, 1, 2, 1),
                        r"event 16: polarity is 2\.0, expected 0 or 1, or -1 or 1"),
    "gesture fraction": ("a.npy", gesture(0.5, 1, 0, 1),
                         r"event 16: x is 0\.5, expected a whole number"),
    "gesture of an unknown unit": (
        "a.npy", saved([[1.0, 2, 1, 0.001], [1, 2, 1, 0.061]]),
        r"t is from 0\.001 to 0\.061 in 2 events, which may be of several units, expected one by "
        r"--time-unit s\|ms\|us\|ns \(in Python time_unit\)",
    ),
    "MATLAB cut": ("a.mat", WHOLE["asl.mat"][:-20],
                   r"cut short: an element has \d+ bytes, expected \d+"),
    "MATLAB cut in a packed variable": (
        "a.mat", WHOLE["packed.mat"][:136] + b"?" + WHOLE["packed.mat"][137:],
        r"a variable cannot be decompressed: .*"),
    "MATLAB 7.3": ("a.mat", b"MATLAB 7.3 MAT-file",
                   r"the file is of MATLAB 7.3, expected 5 to 7.2 \(in MATLAB, -v7\)"),
    "MATLAB without an order": ("a.mat", b"MATLAB 5.0 MAT-file".ljust(128),
                                r"the header ends with b'  ', expected b'IM' or b'MI'"),
    "NPZ cut": ("a.npz", WHOLE["four.npz"][:-30],
                r"cannot be decoded, numpy says: File is not a zip file"),
    # HDF5
    "HDF5 cut": ("a.h5", WHOLE["compound.h5"][:-30],
                 r"cannot be decoded, h5py says: Unable to .*truncated file.*"),
    "HDF5 without events": ("a.h5", in_hdf5(other=[1]),
                            r"the file holds \['other'\], expected a group or dataset of t, .*"),
    "HDF5 group": ("a.h5", in_hdf5(**{"events/t": [1], "events/x": [1]}),
                   r"the fields are t, x, expected t, x, y and on \(or p\), or t and unit"),
    "HDF5 plain": ("a.h5", in_hdf5(events=[[1, 2, 3, 1]]),
                   r"the columns have no names and could be several orders of t, x, y and .*"),
    "HDF5 lengths": (
        "a.h5", in_hdf5(**{f"events/{name}": [1] * (1 + (name == "t")) for name in "txyp"}),
        r"x has dtype int64 and shape \(1,\), expected numbers of shape \(2,\)",
    ),
    "HDF5 scalar": ("a.h5", in_hdf5(**{f"events/{name}": 1 for name in "txyp"}),
                    r"field t has dtype int64 and shape \(\), expected one dimension of numbers"),
}  # fmt: skip


BACKWARD_FILES = {
    "back.bin": nmnist(BACKWARDS),
    "back.dat": dat((10, 1, 1, 1), (5, 2, 2, 0)),
    "back.csv": b"t,x,y,on\n10,1,1,1\n5,2,2,0\n",
    "back.npz": by_numpy(np.savez, one=lambda events: events)(BACKWARDS),
    "back.h5": in_hdf5(events=BACKWARDS),
    "low.raw": evt2(evt2_high(0), evt2_event(10, 1, 1, 1), evt2_event(5, 2, 2, 0)),
    "low3.raw": evt3(0x8000, 0x600A, 0x0001, 0x2801, 0x6005, 0x0002, 0x2002),
}
