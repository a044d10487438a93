"""Expected values of lib/formats/npy.ts, both directions, with NumPy: writes files_npy.json.

    python test/reference/files_npy.py

1. What NumPy writes of arrays of each dtype and shape, as bytes: the reader must give these values, the writer these bytes.
2. Sound and damaged headers, each with NumPy's verdict: the reader accepts none that NumPy refuses.
"""

import base64
import io
import json
import random
import struct
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

here = Path(__file__).parent
rng = np.random.default_rng(3)


def saved(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def text(value):
    return repr(float(value)) if isinstance(value, np.floating) else str(int(value))


arrays = []
extremes = {
    "float32": [0.1, -0.0, np.inf, -np.inf, np.nan, 1e-45, 3.4028235e38],
    "float64": [0.1, -0.0, np.inf, -np.inf, np.nan, 5e-324, 1.7976931348623157e308],
    "int32": [0, 1, -1, 2**31 - 1, -(2**31)],
    "int64": [0, 1, -1, 2**63 - 1, -(2**63)],
}
for dtype, values in extremes.items():
    arrays.append(np.array(values, dtype=dtype))
    for shape in [(), (1,), (0,), (3, 4), (4, 1), (0, 5), (2, 3, 4), (123,)]:
        arrays.append((rng.standard_normal(shape) * 1e6).astype(dtype))
arrays = [
    # Those of many numbers by their file alone: it holds the values.
    {"dtype": str(a.dtype), "shape": list(a.shape), "base64": base64.b64encode(saved(a)).decode()}
    | ({"values": [text(v) for v in a.reshape(-1)]} if a.size < 100 else {})
    for a in arrays
]

# Headers by the number of rows: NumPy leaves room for it, so the length must not depend on it.
headers = []
for rows in [0, 9, 10, 12345678, 2**53 - 1]:
    for rest in [[], [512], [3, 32, 32], [10**9] * 7]:
        buffer = io.BytesIO()
        npy.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": (rows, *rest)})
        headers.append({"shape": [rows, *rest], "header": buffer.getvalue().decode("latin-1")})


def packed(dictionary, data=bytes(24), version=(1, 0), length=None, magic=b"\x93NUMPY"):
    body = dictionary if isinstance(dictionary, bytes) else dictionary.encode("latin-1")
    size = len(body) if length is None else length
    return magic + bytes(version) + struct.pack("<H" if version == (1, 0) else "<I", size) + body + data


def accepts(content):
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except Exception:
        return False
    return isinstance(array, np.ndarray)


sound = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
cases = {
    "sound": packed(sound),
    "version 2": packed(sound, version=(2, 0)),
    "version 3": packed(sound, version=(3, 0)),
    "version 4": packed(sound, version=(4, 0)),
    "version 1.1": packed(sound, version=(1, 1)),
    "other order of keys": packed("{'shape': (2, 3), 'fortran_order': False, 'descr': '<f4'}"),
    "double quotes": packed(sound.replace("'", '"')),
    "no spaces": packed(sound.replace(" ", "")),
    "newlines": packed(sound.replace(" ", "\n")),
    "Python 2": packed(sound.replace("(2, 3)", "(2L, 3L)")),
    "one dimension": packed(sound.replace("(2, 3)", "(6,)")),
    "a number for a tuple": packed(sound.replace("(2, 3)", "(6)")),
    "a list for a tuple": packed(sound.replace("(2, 3)", "[2, 3]")),
    "scalar": packed(sound.replace("(2, 3)", "()"), bytes(4)),
    "negative size": packed(sound.replace("(2, 3)", "(-2, -3)")),
    "fractional size": packed(sound.replace("(2, 3)", "(2.0, 3)")),
    "size beyond the file": packed(sound.replace("(2, 3)", "(2, 4)")),
    "huge size": packed(sound.replace("(2, 3)", "(4611686018427387904, 4)")),
    "sizes that overflow": packed(sound.replace("(2, 3)", "(4294967296, 4294967296, 4294967296)")),
    "zero times huge": packed(sound.replace("(2, 3)", "(0, 9999999999999999)"), b""),
    "key twice": packed(sound.replace("'shape'", "'descr': '<f8', 'shape'")),
    "key missing": packed("{'descr': '<f4', 'fortran_order': False}"),
    "key too many": packed(sound.replace("}", "'x': 1}")),
    "no dictionary": packed("[]"),
    "code": packed("__import__('os')"),
    "empty header": packed(""),
    "text behind": packed(sound + "x"),
    "two dictionaries": packed(sound + sound),
    "trailing commas": packed(sound.replace(", }", ",, }")),
    "length one less": packed(sound, length=len(sound) - 1),
    "length one more": packed(sound, length=len(sound) + 1),
    "length beyond the file": packed(sound, length=9000),
    "length 2^32 - 1": packed(sound, version=(2, 0), length=2**32 - 1),
    "header over the limit": packed(sound + " " * 11000),
    "magic": packed(sound, magic=b"\x93NUMPZ"),
    "no bytes": b"",
    "magic only": b"\x93NUMPY",
    "ten bytes": packed(sound)[:10],
    "data missing": packed(sound, bytes(23)),
    "unknown dtype": packed(sound.replace("<f4", "<z4")),
    "null in dtype": packed(sound.replace("<f4", "<f4\\0")),
    "fortran_order a number": packed(sound.replace("False", "0")),
}
# Where we are stricter on purpose: other dtypes, Fortran order, bytes behind the array, a key twice (the last counts for Python).
cases |= {
    "structured": packed(sound.replace("'<f4'", "[('a', '<f4')]")),
    "big endian": packed(sound.replace("<f4", ">f4")),
    "half": packed(sound.replace("<f4", "<f2"), bytes(12)),
    "unsigned": packed(sound.replace("<f4", "<u4")),
    "fortran order": packed(sound.replace("False", "True")),
    "bytes behind": packed(sound, bytes(25)),
}
random.seed(5)
for i in range(150):
    content = bytearray(packed(sound))
    for _ in range(random.randint(1, 3)):
        content[random.randrange(10, len(content) - 24)] = random.choice(b"{}()[],:'\" <>f48iTrueFals0123456789L-\n\x00\xff")
    cases[f"damaged {i}"] = bytes(content)

document = {
    "numpy": np.__version__,
    "arrays": arrays,
    "headers": headers,
    "files": [{"name": n, "base64": base64.b64encode(c).decode(), "accepted": accepts(c)} for n, c in cases.items()],
}
(here / "files_npy.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
print(f"{len(arrays)} arrays, {len(cases)} files, {sum(f['accepted'] for f in document['files'])} accepted by NumPy")
