"""Pickles in the form of CIFAR's Python version: as Python 2 wrote the published files, and as Python 3 writes them (protocols 2 to 5); hostile ones too.

    python test/reference/datasets_pickle.py        (numpy; writes datasets_pickle.json beside this file)

Python 2 is not at hand: its form (byte strings, `cPickle` protocol 2) is put together opcode by opcode here, and Python 3 is asked what is in it.
"""

import base64
import json
import os
import pickle
import struct
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
random = np.random.default_rng(20260303)
data = random.integers(0, 256, (5, 12), dtype=np.uint8)
labels = [0, 255, 256, 65536, 3]
names = ["airplane.png", "caf\u00e9.png"]


def short(text):
    raw = text.encode("latin1")
    return b"U" + bytes([len(raw)]) + raw


def put(k):
    return b"q" + bytes([k]) if k < 256 else b"r" + struct.pack("<I", k)


def number(value):
    if value < 256:
        return b"K" + bytes([value])
    return b"M" + struct.pack("<H", value) if value < 65536 else b"J" + struct.pack("<i", value)


def array(values):
    raw = values.tobytes()
    dtype = b"cnumpy\ndtype\n" + put(9) + short("u1") + put(10) + b"K\x00K\x01\x87" + put(11) + b"R" + put(12)
    dtype += b"(K\x03" + short("|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t" + put(13) + b"b"
    shape = b"".join(number(n) for n in values.shape) + {1: b"\x85", 2: b"\x86", 3: b"\x87"}[values.ndim]
    start = b"cnumpy.core.multiarray\n_reconstruct\n" + put(5) + b"cnumpy\nndarray\n" + put(6) + b"K\x00\x85" + put(7) + short("b") + b"\x87R" + put(8)
    return start + b"(K\x01" + shape + dtype + b"\x89T" + struct.pack("<I", len(raw)) + raw + b"t" + put(14) + b"b"


python2 = b"\x80\x02}" + put(1) + b"(" + short("batch_label") + put(2) + short("testing batch 1 of 1") + put(300)
python2 += short("labels") + b"](" + b"".join(map(number, labels)) + b"e" + short("data") + array(data)
python2 += short("filenames") + b"]" + b"".join(short(name) + b"a" for name in names) + short("again") + b"h\x02u."
content = {"batch_label": "testing batch 1 of 1", "labels": labels, "data": data, "filenames": names, "again": "batch_label"}
found = pickle.loads(python2, encoding="latin1")
assert found.keys() == content.keys() and np.array_equal(found["data"], data)
assert all(found[key] == content[key] for key in content if key != "data")



class Call:
    def __reduce__(self):
        return os.system, ("echo called",)


def text(raw):
    return base64.b64encode(raw).decode()


expected = {
    "python2": text(python2),
    **{f"python3-{protocol}": text(pickle.dumps(content, protocol=protocol)) for protocol in (2, 3, 4, 5)},
    "labels": labels,
    "filenames": names,
    "shape": list(data.shape),
    "data": text(data.tobytes()),
    "hostile": {
        "a call of os.system": text(pickle.dumps({"labels": Call()}, protocol=2)),
        "an instance of a class": text(pickle.dumps(Path("x"), protocol=2)),
        "an array of floats": text(pickle.dumps({"data": np.ones((2, 2))}, protocol=2)),
        "an array column by column": text(pickle.dumps({"data": np.asfortranarray(data)}, protocol=2)),
        "a set": text(pickle.dumps({1, 2}, protocol=2)),
        "a call of os.system, protocol 5": text(pickle.dumps({"labels": Call()}, protocol=5)),
        "a column-major array, protocol 5": text(pickle.dumps({"data": np.asfortranarray(data)}, protocol=5)),
        "a bytearray by its constructor": text(pickle.dumps(bytearray(b"abc"), protocol=4)),
    },
}
expected["old"] = {protocol: text(pickle.dumps({"labels": [1]}, protocol=protocol)) for protocol in (0, 1)}
HERE.joinpath("datasets_pickle.json").write_text(json.dumps(expected, indent=1) + "\n")
