"""Feature sets by a closed formula, the same to the last bit here and in test/support/feature-sets.ts.

With r(name, i) of network_fill.py, class c, sample i of label c, column j:

    mean[c, j]   offset + between * r(name.mean, c d + j)
    z[i, j]      (mean[c, j] + (within * (1 + j mod 3)) * r(name.noise, i d + j)) + within * r(name.common, i)
    weight[c, j] r(name.weight, c d + j) + 3 * r(name.mean, c d + j)
    bias[c]      r(name.bias, c)
    prediction   (label + 1) mod C where word(name.prediction, i) mod 7 = 0, else the label
    query[k, j]  k < 4: mean[k mod C, j] + (within * (0.5, 1, 3, 30)[k]) * r(name.query, k d + j)
                 k = 4, 5: offset + (2 * between) * r(name.query, k d + j)

Labels go round the classes, 0 1 2 ... 0 1 2 ..., each class as often as `counts` says.

Two more sets are features and logits of a real network, from trained_features.safetensors (trained_features.mjs).
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from network_fill import uniform, words


@dataclass
class FeatureSet:
    name: str
    dim: int
    counts: list
    offset: float = 0.0
    between: float = 1.0
    within: float = 0.25

    def __post_init__(self):
        d, classes = self.dim, len(self.counts)
        self.labels = np.array([c for k in range(max(self.counts)) for c in range(classes) if k < self.counts[c]])
        n = len(self.labels)
        means = uniform(f"{self.name}.mean", classes * d).reshape(classes, d)
        self.means = self.offset + self.between * means
        spread = self.within * (1 + np.arange(d) % 3)
        noise = uniform(f"{self.name}.noise", n * d).reshape(n, d)
        common = uniform(f"{self.name}.common", n)[:, None]
        self.features = (self.means[self.labels] + spread * noise) + self.within * common
        self.weight = uniform(f"{self.name}.weight", classes * d).reshape(classes, d) + 3 * means
        self.bias = uniform(f"{self.name}.bias", classes)
        shifted = words(f"{self.name}.prediction", n) % np.uint64(7) == 0
        self.predictions = np.where(shifted, (self.labels + 1) % classes, self.labels)
        query = uniform(f"{self.name}.query", 6 * d).reshape(6, d)
        near = [self.means[k % classes] + (self.within * f) * query[k] for k, f in enumerate((0.5, 1, 3, 30))]
        self.queries = np.stack(near + [self.offset + (2 * self.between) * query[k] for k in (4, 5)])


class TrainedSet:
    """The training rows, four test digits and two clothes as queries, the network's own answers as predictions."""

    def __init__(self, name, kind, within):
        arrays = read_safetensors(Path(__file__).parent / "trained_features.safetensors")
        self.name, self.within = name, within
        self.features = arrays[f"train.{kind}"].astype(float)
        self.dim = self.features.shape[1]
        self.labels = arrays["train.labels"].astype(int)
        self.counts = np.bincount(self.labels).tolist()
        self.predictions = arrays["train.logits"].argmax(1)
        of_features = kind == "features"  # the logits' own classifier is the identity
        self.weight = arrays["fc.weight"].astype(float) if of_features else np.eye(10)
        self.bias = arrays["fc.bias"].astype(float) if of_features else np.zeros(10)
        self.queries = np.concatenate([arrays[f"test.{kind}"][:4], arrays[f"clothes.{kind}"][:2]]).astype(float)


def read_safetensors(path):
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    dtypes = {"F32": "<f4", "U8": "u1"}
    return {
        name: np.frombuffer(data[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]], dtypes[entry["dtype"]])
        .reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def feature_sets():
    return [
        FeatureSet("random", 8, [40] * 5, offset=0.5),
        FeatureSet("collapsed-1e-6", 6, [30] * 4, within=1e-3),
        FeatureSet("collapsed-1e-12", 6, [30] * 4, within=1e-6),
        FeatureSet("collapsed far from zero", 6, [30] * 4, offset=100.0, within=1e-4),
        FeatureSet("fewer samples than dimensions", 12, [6, 8, 7, 9]),
        FeatureSet("class 2 missing", 5, [20, 30, 0, 25]),
        FeatureSet("class 1 with one sample", 5, [20, 1, 30]),
        FeatureSet("one sample per class", 5, [1, 1, 1]),
        FeatureSet("two classes", 6, [25, 40]),
        FeatureSet("100 classes", 16, [3 + c % 4 for c in range(100)]),
        FeatureSet("two dimensions", 2, [30] * 5),
        FeatureSet("2048 dimensions", 2048, [20, 25, 15]),
        FeatureSet("tiny scale", 8, [40] * 5, between=1e-8, within=0.25e-8),
        FeatureSet("large scale", 8, [40] * 5, between=1e8, within=0.25e8),
        TrainedSet("features of a trained network", "features", within=0.03),
        TrainedSet("logits of a trained network", "logits", within=0.3),
    ]
