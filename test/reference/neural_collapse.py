"""Expected neural-collapse numbers, by their definitions with a pseudoinverse of the between-class scatter: writes
neural_collapse.json. Every number is over the classes that have samples.

    python test/reference/neural_collapse.py
"""

import json
from pathlib import Path

import numpy as np
from statistics_feature_sets import FeatureSet, feature_sets


def deviation(matrix):
    """Mean over off-diagonal pairs of |cos + 1/(C-1)| of the rows."""
    c = len(matrix)
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    gram = unit @ unit.T
    off = ~np.eye(c, dtype=bool)
    return float(np.abs(gram[off] + 1 / (c - 1)).mean())


def variation(matrix, ddof):
    norms = np.linalg.norm(matrix, axis=1)
    return float(norms.std(ddof=ddof) / norms.mean())


def etf_distance(matrix):
    c = len(matrix)
    gram = matrix @ matrix.T
    ideal = (np.eye(c) - 1 / c) / np.sqrt(c - 1)
    return float(np.linalg.norm(gram / np.linalg.norm(gram) - ideal))


def measure(features, labels, predictions, weight):
    present = np.unique(labels)
    c, n, d = len(present), len(features), features.shape[1]
    means = np.stack([features[labels == k].mean(0) for k in present])
    centred_means = means - means.mean(0)
    place = np.searchsorted(present, labels)
    scale = np.abs(centred_means).max()  # the numbers do not depend on it; float64 pseudoinverses do
    y, m = (features - means[place]) / scale, centred_means / scale
    rank = np.linalg.matrix_rank(m, tol=np.linalg.norm(m, 2) * 1e-10)
    if d <= 64:
        within, between = y.T @ y / n, m.T @ m / c
        values, vectors = np.linalg.eigh(between)
        order = np.argsort(values)[::-1][:rank]
        nc1 = np.trace(within @ (vectors[:, order] / values[order]) @ vectors[:, order].T)
    else:  # tr(S_W pinv(S_B)) = (C/N) |Y pinv(M)|_F^2 with M the centred means as rows
        nc1 = c / n * np.linalg.norm(y @ np.linalg.pinv(m, rcond=1e-10)) ** 2
    w = weight[present]
    distances = ((features[:, None, :] - means[None]) ** 2).sum(2) if d <= 64 else np.stack(
        [((features - mean) ** 2).sum(1) for mean in means], axis=1)
    nearest = present[distances.argmin(1)]
    unit = lambda a: a / np.linalg.norm(a)
    rows = lambda a: a / np.linalg.norm(a, axis=1, keepdims=True)
    return dict(
        nc1=float(nc1), rank=int(rank), enMeans=variation(m, 1), enClassifier=variation(w, 1), eaMeans=deviation(m), eaClassifier=deviation(w),
        nc3=float(((unit(w) - unit(m)) ** 2).sum()), etfDistanceMeans=etf_distance(m), etfDistanceClassifier=etf_distance(w),
        nc4=float((nearest != predictions).mean()), classes=present.tolist(),
        variants=dict(nc1OverClasses=float(nc1 / c), enMeansDdof0=variation(m, 0), enClassifierDdof0=variation(w, 0),
                      nc3UnitColumns=float(((rows(w) - rows(m)) ** 2).sum()), nc4Labels=float((nearest != labels).mean())))


def case(s: FeatureSet):
    linear = (s.features @ s.weight.T + s.bias).argmax(1)
    return dict(name=s.name, numbers=measure(s.features, s.labels, s.predictions, s.weight),
                nc4_linear=measure(s.features, s.labels, linear, s.weight)["nc4"])


Path(__file__).with_suffix(".json").write_text(json.dumps(dict(cases=[case(s) for s in feature_sets()])))
