"""Expected values of lib/core/random-permutation.ts and Dataset.split, with Python's exact integers: writes files_permutation.json.

    python test/reference/files_permutation.py

xoshiro128** 1.1 (Blackman and Vigna), state by splitmix32 with the finaliser of MurmurHash3; bounded draws by Lemire's method; Fisher-Yates.
"""

import hashlib
import json
import struct
from pathlib import Path

mask = 2**32 - 1


def rotate(x, k):
    return ((x << k) | (x >> (32 - k))) & mask


def xoshiro(state):
    s = list(state)
    while True:
        yield rotate(s[1] * 5 & mask, 7) * 9 & mask
        t = s[1] << 9 & mask
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotate(s[3], 11)


# The first outputs from the state 1, 2, 3, 4, as published with the generator's Rust implementation (rand_xoshiro).
stream = xoshiro([1, 2, 3, 4])
assert [next(stream) for _ in range(6)] == [11520, 0, 5927040, 70819200, 2031721883, 1637235492]


def seeded(seed):
    state = []
    for _ in range(4):
        seed = (seed + 0x9E3779B9) & mask
        x = seed
        x = (x ^ x >> 16) * 0x85EBCA6B & mask
        x = (x ^ x >> 13) * 0xC2B2AE35 & mask
        state.append(x ^ x >> 16)
    return xoshiro(state)


def bounded(stream, bound):
    while True:
        product = next(stream) * bound
        if product & mask >= 2**32 % bound:
            return product >> 32


def permutation(n, seed):
    stream = seeded(seed)
    order = list(range(n))
    for last in range(n - 1, 0, -1):
        chosen = bounded(stream, last + 1)
        order[chosen], order[last] = order[last], order[chosen]
    return order


def split(n, count, seed):
    validation = sorted(permutation(n, seed)[:count])
    digest = hashlib.sha256(struct.pack(f"<{1 + count}I", n, *validation)).hexdigest()
    return {"length": n, "count": count, "seed": seed, "validation": validation[:20], "hash": digest}


bounds = [1, 2, 3, 10, 1000, 2**16 + 1, 2**31, 2**31 + 1, 3 * 2**30, 2**32 - 1]
draws = []
for bound in bounds:
    stream = seeded(99)
    draws.append({"bound": bound, "draws": [bounded(stream, bound) for _ in range(20)]})
document = {
    "permutations": [{"length": n, "seed": s, "order": permutation(n, s)} for n, s in [(1, 0), (2, 1), (10, 0), (10, 1), (100, 2**32 - 1)]],
    "draws": draws,
    "splits": [split(60, 6, 1), split(50_000, 5_000, 1), split(50_000, 5_000, 2)],
}
(Path(__file__).parent / "files_permutation.json").write_text(json.dumps(document) + "\n")
