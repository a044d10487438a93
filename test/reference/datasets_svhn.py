"""SVHN as scipy writes and reads it: small MATLAB 5 files in the layout of train_32x32.mat, and the values that a reader should find.

    python test/reference/datasets_svhn.py        (scipy, numpy; writes the .mat files and datasets_svhn.json beside this file)

X is uint8 [32, 32, 3, N] and y uint8 [N, 1] with 10 for the digit 0, as in the published files. One file is deflated, one is not; a third holds y as
doubles and further variables of every kind before, between and after. Images are given N x C x H x W, as torchvision's SVHN transposes them.
"""

import base64
import json
from pathlib import Path

import numpy as np
from scipy.io import loadmat, savemat

HERE = Path(__file__).parent
random = np.random.default_rng(20260301)

# Few levels in blocks of 4 rows and 8 columns, so that the deflated files are small and that exchanged axes show.
blocks = random.integers(0, 8, (8, 4, 3, 6), dtype=np.uint8) * 30
X = np.kron(blocks, np.ones((4, 8, 1, 1), dtype=np.uint8))
y = np.array([[10], [1], [2], [9], [10], [5]], dtype=np.uint8)

savemat(HERE / "datasets_svhn_deflated.mat", {"X": X, "y": y}, do_compression=True)
savemat(HERE / "datasets_svhn_plain.mat", {"X": X[..., :2], "y": y[:2]}, do_compression=False)
others = {
    "text": "house numbers",
    "cells": np.array([1, "two"], dtype=object),
    "fields": {"a": 1.5, "b": [1, 2, 3]},
    "complex": np.array([1 + 2j]),
    "empty": np.zeros((0, 3)),
    "logical": np.array([True, False]),
}
before = dict(list(others.items())[:3])
after = {key: value for key, value in others.items() if key not in before}
savemat(
    HERE / "datasets_svhn_mixed.mat",
    {**before, "y": y[:2].astype(float), "after_y": np.float32([1.5]), "X": X[..., :2], **after},
    do_compression=True,
)

for name in ("deflated", "plain", "mixed"):
    loaded = loadmat(HERE / f"datasets_svhn_{name}.mat")
    assert np.array_equal(loaded["X"], X[..., : loaded["X"].shape[3]])

# Numeric arrays of every class and several shapes, for the reader itself; scipy is asked what is in them.
classes = ["float64", "float32", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
arrays = {f"a_{name}": random.integers(0, 100, (2, 3, 2)).astype(name) for name in classes}
arrays["scalar"] = np.array([[7.25]])
arrays["a_name_that_is_as_long_as_thirty"] = np.array([[1], [2], [3]], dtype=np.int16)
savemat(HERE / "datasets_mat_classes.mat", arrays, do_compression=True)
read = loadmat(HERE / "datasets_mat_classes.mat")

images = np.transpose(X, (3, 2, 0, 1))
expected = {
    "labels": [int(label) % 10 for label in y[:, 0]],
    "images": base64.b64encode(np.ascontiguousarray(images).tobytes()).decode(),
    "arrays": {
        name: {"dtype": str(read[name].dtype), "shape": list(read[name].shape), "values": read[name].flatten("F").astype(float).tolist()}
        for name in arrays
    },
}
HERE.joinpath("datasets_svhn.json").write_text(json.dumps(expected, indent=1) + "\n")
