"""Reference for lib/formats/safetensors.ts by the format's own Python package (safetensors 0.8.0, torch 2.13).

    python test/reference/files_safetensors.py

Reads files_safetensors_ours.safetensors, which test/formats/safetensors.test.ts shows to be what our writer writes, and asserts its
content. Writes files_safetensors_python.safetensors (every dtype, written by Python) and files_safetensors.json: its values, and
many small files, sound and damaged, with the verdict of the official reader on each.
"""

import base64
import json
import random
import struct
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file, save_file

here = Path(__file__).parent

# 1. What our writer wrote.
with safetensors.safe_open(here / "files_safetensors_ours.safetensors", framework="pt") as file:
    assert file.metadata() == {"format": "pt", "écrit par": 'nous "ici" \\ 火', "__proto__": "text"}, file.metadata()
ours = load_file(here / "files_safetensors_ours.safetensors")
expected = {
    "f64": torch.tensor([[0.1, -1e300, 5e-324]], dtype=torch.float64),
    "f32": torch.tensor([[1.5], [-0.0], [float("inf")]], dtype=torch.float32),
    "f16": torch.tensor([1.0, -2.0, 65504.0, 6e-8], dtype=torch.float16),
    "bf16": torch.tensor([1.0, -2.0, 3.3895313892515355e38], dtype=torch.bfloat16),
    "i64": torch.tensor([1, -1, 2147483647, -2147483648], dtype=torch.int64),
    "i64 big": torch.tensor([2**62, -(2**63)], dtype=torch.int64),
    "i32": torch.tensor([7, -7], dtype=torch.int32),
    "i16": torch.tensor([300, -300], dtype=torch.int16),
    "i8": torch.tensor([[[-128]], [[127]]], dtype=torch.int8),
    "u8": torch.tensor([0, 128, 255], dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]),
    "scalar": torch.tensor(2.5, dtype=torch.float32),
    "empty": torch.zeros(3, 0, 2, dtype=torch.float32),
    "__proto__": torch.tensor([9], dtype=torch.uint8),
}
assert ours.keys() == expected.keys()
for name, tensor in expected.items():
    assert ours[name].dtype == tensor.dtype and ours[name].shape == tensor.shape and torch.equal(ours[name], tensor), name

# 2. What Python writes.
python = {
    "weight": torch.linspace(-3, 3, 6, dtype=torch.float32).reshape(2, 3),
    "running.mean": torch.tensor([1e-310, 0.1], dtype=torch.float64),
    "half": torch.tensor([0.1, -1e-7, 6e-5, 65504.0, float("inf"), float("-inf")], dtype=torch.float16),
    "brain": torch.tensor([0.1, -1e-40, 3e38], dtype=torch.bfloat16),
    "num_batches_tracked": torch.tensor(391, dtype=torch.int64),
    "negative": torch.tensor([-(2**53) + 1, 2**53 - 1], dtype=torch.int64),
    "i32": torch.tensor([-(2**31), 2**31 - 1], dtype=torch.int32),
    "i16": torch.tensor([-(2**15), 2**15 - 1], dtype=torch.int16),
    "i8": torch.tensor([-128, 127], dtype=torch.int8),
    "u8": torch.arange(5, dtype=torch.uint8),
    "flag": torch.tensor([[True, False]]),
    "nothing": torch.zeros(0, 4),
}
save_file(python, here / "files_safetensors_python.safetensors", metadata={"framework": "torch", "ключ": "значение"})

# 3. Verdicts of the official reader.
rng = random.Random(7)


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def packed(header, data, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def sound():
    sizes = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
    header, position = {}, 0
    for i in range(rng.randrange(4)):
        dtype = rng.choice(list(sizes))
        shape = [rng.randrange(4) for _ in range(rng.randrange(4))]
        length = sizes[dtype]
        for size in shape:
            length *= size
        header[rng.choice(["a", "b.weight", "ü", "__proto__", "constructor"]) + str(i)] = entry(dtype, shape, position, position + length)
        position += length
    if rng.random() < 0.4:
        header["__metadata__"] = {"key": "value"}
    items = list(header.items())
    rng.shuffle(items)
    return dict(items), position


def damaged(header, size):
    names = [name for name in header if name != "__metadata__"]
    odd = [-1, 0, 1, 2, 1.0, 1.5, 2**53, 2**63, 2**64, "1", None, True, [], {}]
    if names and rng.random() < 0.85:
        tensor = header[rng.choice(names)]
        kind = rng.randrange(6)
        if kind == 0:
            tensor["data_offsets"][rng.randrange(2)] += rng.choice([-1, 1, 4, 2**32])
        elif kind == 1:
            tensor["data_offsets"] = rng.choice([[], [0], [0, 1, 2], None, "0,1", [4, 0], [rng.choice(odd), rng.choice(odd)]])
        elif kind == 2:
            tensor["shape"] = rng.choice([None, 3, [rng.choice(odd)], [2**32, 2**32], [2**40, 2**40, 0], tensor["shape"] + [1], tensor["shape"] + [0]])
        elif kind == 3:
            tensor["dtype"] = rng.choice(["f32", "", None, 4, "F32", "U8", "F8", "BOOL"])
        elif kind == 4:
            del tensor[rng.choice(list(tensor))]
        else:
            header[rng.choice(names)] = rng.choice(odd)
    else:
        header["__metadata__"] = rng.choice([{"a": 1}, {"a": None}, [], "text", {"a": {"b": "c"}}, {"": ""}])
    return header, size + rng.choice([0, 0, 0, 0, -1, 1, 8]) if size else size


files = []


def add(name, content, stricter=None):
    try:
        safetensors.deserialize(content)
        accepted = True
    except Exception:
        accepted = False
    record = {"name": name, "base64": base64.b64encode(content).decode(), "accepted": accepted}
    if stricter:
        assert accepted, name
        record["stricter"] = stricter
    files.append(record)


for i in range(60):
    header, size = sound()
    add(f"sound {i}", packed(header, bytes(size)))
for i in range(240):
    header, size = damaged(*sound())
    add(f"damaged {i}", packed(header, bytes(max(0, size))))
one = b'{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}'
for name, content in {
    "nothing": b"",
    "seven bytes": b"\x02\0\0\0\0\0\0",
    "no header": bytes(8),
    "empty header": packed({}, b""),
    "empty header, data": packed({}, b"x"),
    "length beyond the file": packed(one, b"xy", 10_000),
    "length 2^63": packed(one, b"xy", 2**63),
    "length over the limit": packed(one, b"xy", 100_000_001),
    "length one less": packed(one, b"xy", len(one) - 1),
    "length one more": packed(one, b"xy", len(one) + 1),
    "spaces after": packed(one + b"   ", b"xy"),
    "newline after": packed(one + b"\n", b"xy"),
    "spaces within": packed(one.replace(b":", b" : ").replace(b",", b" ,\t"), b"xy"),
    "zero byte after": packed(one + b"\0", b"xy"),
    "byte-order mark": packed(b"\xef\xbb\xbf" + one, b"xy"),
    "an array": packed(b"[]", b""),
    "trailing comma": packed(one[:-1] + b",}", b"xy"),
    "trailing text": packed(one + b"{}", b"xy"),
    "no UTF-8": packed(one.replace(b"a", b"\xff", 1), b"xy"),
    "lone surrogate": packed(one.replace(b"a", b"\\ud800", 1), b"xy"),
    "surrogate pair": packed(one.replace(b"a", b"\\ud83d\\ude00", 1), b"xy"),
    "escaped name": packed(one.replace(b"a\"", b"\\u0061\\n\\\"\"", 1), b"xy"),
    "control character in a name": packed(one.replace(b'"a"', b'"\x01"'), b"xy"),
    "bad escape": packed(one.replace(b'"a"', b'"\\x"'), b"xy"),
    "leading zero": packed(one.replace(b"[2]", b"[02]"), b"xy"),
    "exponent": packed(one.replace(b"[2]", b"[2e0]"), b"xy"),
    "negative zero": packed(one.replace(b"[0,2]", b"[-0,2]"), b"xy"),
    "NaN": packed(one.replace(b"[2]", b"[NaN]"), b"xy"),
    "overlap": packed({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 1, 3)}, b"xyz"),
    "same range": packed({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 0, 2)}, b"xy"),
    "hole": packed({"a": entry("U8", [1], 0, 1), "b": entry("U8", [1], 2, 3)}, b"xyz"),
    "hole at the start": packed({"a": entry("U8", [1], 1, 2)}, b"xy"),
    "bytes after": packed({"a": entry("U8", [1], 0, 1)}, b"xy"),
    "bytes missing": packed({"a": entry("U8", [3], 0, 3)}, b"xy"),
    "any order": packed({"b": entry("U8", [1], 1, 2), "a": entry("U8", [1], 0, 1)}, b"xy"),
    "empty tensor within": packed({"a": entry("U8", [2], 0, 2), "b": entry("F64", [0], 1, 1)}, b"xy"),
    "empty tensor at the seam": packed({"a": entry("U8", [1], 0, 1), "b": entry("F64", [0], 1, 1), "c": entry("U8", [1], 1, 2)}, b"xy"),
    "metadata twice": packed(b'{"__metadata__":{},"__metadata__":{}}', b""),
}.items():
    add(name, content)
# Where the format's text is stricter than its official reader, we refuse.
duplicate = one[:-1] + b',"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}'
add("name twice", packed(duplicate, b"xy"), "duplicate keys are disallowed by the format")
add("space before", packed(b" " + one, b"xy"), "the header begins with { by the format")
add("metadata key twice", packed(b'{"__metadata__":{"k":"1","k":"2"}}', b""), "duplicate keys are disallowed by the format")
add("unknown key in an entry", packed(one.replace(b'"dtype"', b'"extra":1,"dtype"'), b"xy"), "no such key in the format")
add("metadata null", packed(b'{"__metadata__":null}', b""))
add("unsupported dtype", packed({"a": entry("U16", [1], 0, 2)}, b"xy"))

values = {name: [str(value) for value in tensor.flatten().tolist()] for name, tensor in python.items()}
dtypes = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64", torch.int32: "I32"}
dtypes |= {torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL"}
content = {name: {"dtype": dtypes[t.dtype], "shape": list(t.shape), "values": values[name]} for name, t in python.items()}
document = {"safetensors": safetensors.__version__, "python": content, "files": files}
(here / "files_safetensors.json").write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
print(f"{len(files)} files, {sum(f['accepted'] for f in files)} accepted by the official reader")
