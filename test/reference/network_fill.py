"""Weights, images and labels by a closed formula, the same to the last bit in Python and in JavaScript.

    seed(name)      FNV-1a, 32 bits: h = 2166136261; for each byte of name: h = ((h xor byte) * 16777619) mod 2^32
    mix(h)          h ^= h >>> 16; h = h * 0x85ebca6b mod 2^32; h ^= h >>> 13; h = h * 0xc2b2ae35 mod 2^32; h ^= h >>> 16
    word(name, i)   mix((seed(name) + i * 0x9e3779b1) mod 2^32)
    r(name, i)      word / 2^31 - 1, in [-1, 1): exact in float64

The entry `name` of a state dict, flat index i, r = r(name, i):

    *.num_batches_tracked             0
    *.running_mean                    0.2 r
    *.running_var                     1.5 + r
    *.weight_sigma                    1
    *.weight_u, *.weight_v            r / sqrt(sum of r^2), the sum taken in order of i
    fc.weight                         6 r / sqrt(columns)
    fc.bias                           0.1 r
    4-D *.weight, *.weight_orig       g r sqrt(3 / fan), fan = in channels * k * k,
                                      g = 4 where seed(name) & 2, else 0.75
    1-D *.weight (batch norm)         1 + 0.4 r
    1-D *.bias (batch norm)           0.3 r

With these about half of the convolutions have sigma > 3 after a power iteration (network_values.py prints them).
Images of shape s and dtype float: r("images", i); uint8: word("pixels", i) >>> 24. Labels: word("labels", i) mod classes.
"""

import math

import numpy as np
import torch


def seed(name):
    h = 2166136261
    for byte in name.encode():
        h = ((h ^ byte) * 16777619) & 0xFFFFFFFF
    return h


def mixed(base, index):
    """mix(base + index * 0x9e3779b1) for an array of uint64 indices, as uint64."""
    mask = np.uint64(0xFFFFFFFF)
    h = (np.uint64(base) + index * np.uint64(0x9E3779B1)) & mask
    h ^= h >> np.uint64(16)
    h = (h * np.uint64(0x85EBCA6B)) & mask
    h ^= h >> np.uint64(13)
    h = (h * np.uint64(0xC2B2AE35)) & mask
    return h ^ (h >> np.uint64(16))


def words(name, count):
    return mixed(seed(name), np.arange(count, dtype=np.uint64))


def uniform(name, count):
    return words(name, count).astype(np.float64) / 2**31 - 1


def entry(name, shape):
    count = math.prod(shape)
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if name.endswith("weight_sigma"):
        return torch.ones(shape, dtype=torch.float64)
    r = uniform(name, count)
    if name.endswith(("weight_u", "weight_v")):
        values = r / math.sqrt(np.add.accumulate(r * r)[-1])  # accumulate adds in order; sum would add pairwise
    elif name.endswith("running_mean"):
        values = 0.2 * r
    elif name.endswith("running_var"):
        values = 1.5 + r
    elif name == "fc.weight":
        values = 6 * r / math.sqrt(shape[1])
    elif name == "fc.bias":
        values = 0.1 * r
    elif len(shape) == 4:
        values = (4 if seed(name) & 2 else 0.75) * r * math.sqrt(3 / math.prod(shape[1:]))
    elif name.endswith("weight"):
        values = 1 + 0.4 * r
    elif name.endswith("bias"):
        values = 0.3 * r
    else:
        raise ValueError(f"no rule for {name}")
    return torch.from_numpy(values).reshape(shape)


def fill(network):
    """Fills the whole state dict of a network of any floating dtype, in place."""
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            tensor.copy_(entry(name, tuple(tensor.shape)))
    return network


def images(shape, dtype=torch.float64):
    return torch.from_numpy(uniform("images", math.prod(shape))).reshape(shape).to(dtype)


def pixels(shape):
    return torch.from_numpy((words("pixels", math.prod(shape)) >> np.uint64(24)).astype(np.uint8)).reshape(shape)


def labels(count, classes):
    return torch.from_numpy((words("labels", count) % np.uint64(classes)).astype(np.int64))
