"""Expected neural-collapse loss (Eq. 3 of the seed paper) and its gradients, by its definition over PyTorch's autograd in float64, with
pseudoinverses of the between-class scatter by torch.linalg.pinv: writes collapse_loss.json.

    python test/reference/collapse_loss.py

Every number is over the classes that have samples. Feature sets are those of statistics_feature_sets.py, and frames: with r(name, i) of
network_fill.py, class c, sample i of label c, column j of d,

    z[i, j]      (1 if j = c else 0) + within * r(name.noise, i d + j)
    weight[c, j] (1 - 1/C if j = c, else -1/C if j < C, else 0) + within * r(name.weight, c d + j)
"""

import json
from pathlib import Path

import numpy as np
import torch
from network_fill import uniform
from statistics_feature_sets import FeatureSet

SETS = [
    dict(name="random", dim=12, counts=[7, 5, 6, 8], recipe={}),
    dict(name="near collapse", dim=12, counts=[7, 5, 6, 8], recipe=dict(within=1e-6)),
    dict(name="missing classes", dim=10, counts=[6, 0, 5, 7, 0, 4], recipe={}),
    dict(name="near collapse, missing classes", dim=10, counts=[6, 0, 5, 7, 0, 4], recipe=dict(within=1e-6)),
    dict(name="single samples among them", dim=9, counts=[1, 6, 1, 5], recipe={}),
    dict(name="far from zero", dim=8, counts=[6, 6, 6], recipe=dict(offset=100.0)),
    dict(name="large scale", dim=8, counts=[6, 6, 6], recipe=dict(between=1e6, within=2.5e5)),
    dict(name="tiny scale", dim=8, counts=[6, 6, 6], recipe=dict(between=1e-6, within=2.5e-7)),
    dict(name="two classes", dim=5, counts=[6, 4], recipe={}),
    dict(name="as many dimensions as a frame needs", dim=4, counts=[5, 6, 7, 5, 6], recipe={}),
    dict(name="two dimensions", dim=2, counts=[6, 7, 8, 5, 6], recipe={}),
    dict(name="one dimension", dim=1, counts=[6, 7, 8], recipe={}),
    dict(name="many classes", dim=40, counts=[3] * 30, recipe={}),
]
FRAMES = [dict(name="frame 1e-3", dim=7, counts=[5, 6, 5, 4, 6], within=1e-3), dict(name="frame 1e-6", dim=7, counts=[5, 6, 5, 4, 6], within=1e-6)]


def frame(name, dim, counts, within):
    classes = len(counts)
    labels = np.array([c for k in range(max(counts)) for c in range(classes) if k < counts[c]])
    eye = np.eye(classes, dim)
    features = eye[labels] + within * uniform(f"{name}.noise", len(labels) * dim).reshape(-1, dim)
    weight = (eye - (np.arange(dim) < classes) / classes) + within * uniform(f"{name}.weight", classes * dim).reshape(classes, dim)
    return features, labels, weight


def terms(z, labels, weight):
    present = sorted(set(labels.tolist()))
    classes = len(present)
    means = torch.stack([z[labels == c].mean(0) for c in present])
    m = (means - means.mean(0)).T  # d x C
    w = weight[present]
    within = sum((z[labels == c] - mean).T @ (z[labels == c] - mean) for c, mean in zip(present, means)) / len(z)
    between = m @ m.T / classes
    off = ~torch.eye(classes, dtype=bool)

    def variation(vectors):
        return torch.std(torch.stack([v.norm() for v in vectors])) / torch.stack([v.norm() for v in vectors]).mean()

    def deviation(vectors):
        unit = torch.stack([v / v.norm() for v in vectors])
        return ((unit @ unit.T)[off] + 1 / (classes - 1)).abs().mean()

    return dict(
        nc1=torch.trace(within @ torch.linalg.pinv(between, rtol=1e-10, hermitian=True)),
        enMeans=variation(m.T), enClassifier=variation(w), eaMeans=deviation(m.T), eaClassifier=deviation(w),
        nc3=((w.T / w.norm() - m / m.norm()) ** 2).sum(),
    )


def case(recipe, features, labels, weight):
    z = torch.tensor(features, requires_grad=True)
    w = torch.tensor(weight, requires_grad=True)
    found = terms(z, torch.tensor(labels), w)
    value = sum(found.values())
    value.backward()
    return dict(recipe, value=value.item(), terms={name: term.item() for name, term in found.items()},
                gradients=dict(features=z.grad.flatten().tolist(), weight=w.grad.flatten().tolist()))


def of_set(recipe):
    s = FeatureSet(recipe["name"], recipe["dim"], recipe["counts"], **recipe["recipe"])
    return case(recipe, s.features, s.labels, s.weight)


result = dict(sets=[of_set(recipe) for recipe in SETS], frames=[case(recipe, *frame(**recipe)) for recipe in FRAMES])
Path(__file__).with_suffix(".json").write_text(json.dumps(result))
