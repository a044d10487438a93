"""Inputs from a seed and a shape, by the integer hash of test/reference/network_fill.py: the other side of the benchmark
can make the same ones in any language and compare the results, not only the times."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "test" / "reference"))

import network_fill

BLOCK = 1 << 22


def uniform(name, shape, dtype=np.float32):
    """r(name, i) of network_fill.py at the flat index i, in blocks: a large array needs no large temporaries."""
    flat = np.empty(int(np.prod(shape)), dtype)
    base = network_fill.seed(name)
    for start in range(0, flat.size, BLOCK):
        index = np.arange(start, min(start + BLOCK, flat.size), dtype=np.uint64)
        flat[start : start + BLOCK] = network_fill.mixed(base, index).astype(np.float64) / 2**31 - 1
    return flat.reshape(shape)


def features(seed, samples, dimensions, classes):
    """Features [N, d] float32 and labels [N]: label i mod C; entry (i, j) is the float32 sum of
    r(f"features {seed}", i d + j) and 2 r(f"means {seed}", label d + j), each rounded to float32 first. Every class's
    covariance is that of independent uniform entries: well conditioned wherever a class has some more samples than d.
    """
    labels = np.arange(samples) % classes
    means = 2 * uniform(f"means {seed}", (classes, dimensions))
    values = uniform(f"features {seed}", (samples, dimensions))
    values += means[labels]
    return values, labels


def images(seed, count, channels=3, size=32):
    """uint8 [N, C, H, W], the top byte of the hash, and labels i mod 10."""
    base = network_fill.seed(f"images {seed}")
    flat = np.empty(count * channels * size * size, np.uint8)
    for start in range(0, flat.size, BLOCK):
        index = np.arange(start, min(start + BLOCK, flat.size), dtype=np.uint64)
        flat[start : start + BLOCK] = network_fill.mixed(base, index) >> np.uint64(24)
    return flat.reshape(count, channels, size, size), np.arange(count) % 10
