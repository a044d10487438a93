"""Expected out-of-distribution scores of the feature sets' queries: writes scores.json.

Each formula is written afresh from its paper, in 60-digit arithmetic (mpmath) or in numpy's 80-bit floats, from the feature sets and logits
z W^T + b; scipy and scikit-learn compute the same where features are well-conditioned, and must agree. "2048 dimensions" has its Mahalanobis
distances through the Woodbury identity, for each jitter that the rule of the library could come to.

    python test/reference/scores.py
"""

import json
from pathlib import Path

import mpmath as mp
import numpy as np
import torch
from scipy import special
from scipy.spatial.distance import cdist
from sklearn.covariance import EmpiricalCovariance
from sklearn.neighbors import NearestNeighbors
from statistics_feature_sets import feature_sets

mp.mp.dps = 60
WELL_CONDITIONED = {"random", "two classes", "two dimensions", "100 classes", "class 2 missing"}
POWERS = range(-13, -7)


def exact(matrix):
    return [[mp.mpf(float(v)) for v in row] for row in np.atleast_2d(matrix)]


def dot(a, b):
    return mp.fsum(x * y for x, y in zip(a, b))


def minus(a, b):
    return [x - y for x, y in zip(a, b)]


def mean(rows):
    return [mp.fsum(column) / len(rows) for column in zip(*rows)]


def numbers(values):
    return [float(v) for v in values]


def logits_of(s, z):
    return z @ s.weight.T + s.bias


def logit_scores(logits, temperature):
    """Hendrycks and Gimpel 2017; Hendrycks et al. 2022; negative entropy; Liu et al. 2020. By scipy, and by PyTorch."""
    scaled = logits / temperature
    t = torch.from_numpy(scaled)
    probability = torch.softmax(t, 1)
    found = {
        "max-softmax": np.exp(special.log_softmax(scaled, 1).max(1)),
        "entropy": -special.entr(special.softmax(scaled, 1)).sum(1),
        "energy": temperature * special.logsumexp(scaled, 1),
    }
    assert np.allclose(found["max-softmax"], probability.max(1).values, rtol=1e-12)
    assert np.allclose(found["entropy"], (probability * torch.log_softmax(t, 1)).sum(1), rtol=1e-9, atol=1e-12)
    assert np.allclose(found["energy"], temperature * torch.logsumexp(t, 1), rtol=1e-12)
    if temperature == 1:
        found["max-logit"] = logits.max(1)
    return {name: numbers(values) for name, values in found.items()}


def deviations(s):
    """Exact class means, and the rows less their class's mean."""
    rows = exact(s.features)
    means = {c: mean([rows[i] for i in np.flatnonzero(s.labels == c)]) for c in range(len(s.counts)) if s.counts[c] > 0}
    return list(means.values()), [minus(row, means[c]) for row, c in zip(rows, s.labels)]


def squared_distances(points, centred, centres):
    """min over centres of (z - u)^T S^-1 (z - u), S = sum y y^T / N of the centred rows."""
    d = len(centred[0])
    columns = list(zip(*centred))
    s = mp.matrix(d, d)
    for i in range(d):
        for j in range(i + 1):
            s[i, j] = s[j, i] = dot(columns[i], columns[j]) / len(centred)
    inverse = s**-1
    found = []
    for z in points:
        differences = [mp.matrix(minus(z, u)) for u in centres]
        found.append(min((y.T * inverse * y)[0] for y in differences))
    return found


def mahalanobis(s):
    """Lee et al. 2018, and Ren et al. 2021 with one Gaussian for all."""
    queries = exact(s.queries)
    means, centred = deviations(s)
    if len(s.labels) == len(means):
        return None  # no variance within classes
    near = squared_distances(queries, centred, means)
    rows = exact(s.features)
    centre = mean(rows)
    background = squared_distances(queries, [minus(row, centre) for row in rows], [centre])
    if s.name in WELL_CONDITIONED:
        rounded = np.array([numbers(u) for u in means])
        precision = EmpiricalCovariance(assume_centered=True).fit(np.array([numbers(y) for y in centred])).precision_
        assert np.allclose(cdist(s.queries, rounded, "mahalanobis", VI=precision).min(1) ** 2, numbers(near), rtol=1e-8)
        whole = EmpiricalCovariance().fit(s.features)
        assert np.allclose(whole.mahalanobis(s.queries), numbers(background), rtol=1e-8)
    # For tolerances: rounding of a covariance, eps of its largest eigenvalue, is condition * eps of its smallest; and how far the points that
    # take part are from one another, as S measures it.
    def condition(deviations):
        spread = np.linalg.svd(np.array([numbers(y) for y in deviations]), compute_uv=False)
        return float((spread[0] / spread[-1]) ** 2)

    return {
        "mahalanobis": numbers(-a for a in near),
        "relative-mahalanobis": numbers(b - a for a, b in zip(near, background)),
        "background": numbers(background),
        "condition": condition(centred),
        "background_condition": condition([minus(row, centre) for row in rows]),
        "reach": float(mp.sqrt(max(squared_distances(queries + means, centred, [mean(means)])))),
    }


def singular_mahalanobis(s):
    """With fewer rows than dimensions: (S + jI)^-1 = (I - Y^T (jN I + Y Y^T)^-1 Y) / j."""
    means, centred = deviations(s)
    n, d = len(centred), s.dim
    gram = mp.matrix(n, n)
    for i in range(n):
        for k in range(i + 1):
            gram[i, k] = gram[k, i] = dot(centred[i], centred[k])
    scale = mp.fsum(gram[i, i] for i in range(n)) / n / d
    pairs = [[minus(z, u) for u in means] for z in exact(s.queries)]
    images = [[mp.matrix([dot(y, x) for y in centred]) for x in row] for row in pairs]
    lengths = [[dot(x, x) for x in row] for row in pairs]
    found = {}
    for power in POWERS:
        jitter = mp.mpf(10) ** power * scale
        inverse = (gram + jitter * n * mp.eye(n)) ** -1
        found[str(power)] = numbers(
            -min((length - (image.T * inverse * image)[0]) / jitter for length, image in zip(*row)) for row in zip(lengths, images)
        )
    return {"scale": float(scale), "by_power": found}


def nearest_neighbours(s, k, normalize):
    """Sun et al. 2022, from differences of 80-bit floats. Formed by products, as scikit-learn does, they cancel under collapse."""
    z, q = s.features.astype(np.longdouble), s.queries.astype(np.longdouble)
    if normalize:
        z, q = (x / np.sqrt((x * x).sum(1, keepdims=True)) for x in (z, q))
    distances = np.sort(np.stack([np.sqrt(((x - z) ** 2).sum(1)) for x in q]), 1)[:, k - 1]
    if s.name in WELL_CONDITIONED:
        search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(z.astype(float))
        assert np.allclose(search.kneighbors(q.astype(float))[0][:, -1], distances.astype(float), rtol=1e-7)
    return numbers(-distances)


def vim(s, dimension):
    """Wang et al. 2022, with the eigenvectors of the Gram matrix in 60 digits, or numpy's singular vectors where d is large."""
    logits = exact(logits_of(s, s.features))
    if s.dim > 100:
        origin = -np.linalg.pinv(s.weight) @ s.bias
        values, right = np.linalg.svd(s.features - origin, full_matrices=True)[1:]
        parts = lambda x: exact(right @ (x - origin))[0]
        rows, queries = s.features, s.queries
    else:
        w, b = mp.matrix(exact(s.weight)), mp.matrix(exact(s.bias)[0])
        solution = w.T * mp.lu_solve(w * w.T, b) if w.rows <= w.cols else mp.lu_solve(w.T * w, w.T * b)
        origin = [-v for v in solution]
        rows, queries = exact(s.features), exact(s.queries)
        columns = list(zip(*(minus(row, origin) for row in rows)))
        gram = mp.matrix([[dot(a, c) for c in columns] for a in columns])
        eigenvalues, vectors = mp.eigsy(gram)  # ascending
        values = [mp.sqrt(abs(v)) for v in reversed(list(eigenvalues))]
        axes = [[vectors[j, i] for j in range(s.dim)] for i in reversed(range(s.dim))]
        parts = lambda x: [dot(v, minus(x, origin)) for v in axes]
    values = list(values) + [0] * (s.dim - len(values))
    rows, queries = [parts(row) for row in rows], [parts(query) for query in queries]
    length = lambda x: mp.sqrt(mp.fsum(v * v for v in x[dimension:]))
    # For tolerances: a relative perturbation of the features by one turns kept axis i by s_1 / (s_i - s_(D+1)), and so adds to the residual.
    tilt = lambda x: mp.fsum(abs(v) * values[0] / (values[i] - values[dimension]) for i, v in enumerate(x[:dimension]))
    residuals = [length(row) for row in rows]
    alpha = mp.fsum(max(row) for row in logits) / mp.fsum(residuals)
    energies = special.logsumexp(logits_of(s, s.queries), 1)
    return {
        "dimension": dimension,
        "alpha": float(alpha),
        "scores": numbers(mp.mpf(float(e)) - alpha * length(x) for e, x in zip(energies, queries)),
        "tilts": numbers(tilt(x) for x in queries),
        "mean_tilt_of_residual": float(mp.fsum(tilt(x) for x in rows) / mp.fsum(residuals)),
    }


def case(s):
    n = len(s.labels)
    found = {"name": s.name, "feature-norm": numbers(np.sqrt((s.queries.astype(np.longdouble) ** 2).sum(1)))}
    logits = logits_of(s, s.queries)
    found["logits"] = {"1": logit_scores(logits, 1), "2.5": logit_scores(logits, 2.5)}
    if s.dim <= 100:
        found["mahalanobis"] = mahalanobis(s)
    else:
        found["singular"] = singular_mahalanobis(s)
    found["neighbours"] = [
        {"k": k, "normalize": normalize, "scores": nearest_neighbours(s, k, normalize)}
        for k in sorted({1, min(5, n), n})
        for normalize in (True, False)
    ]
    found["vim"] = vim(s, 30 if s.dim > 100 else s.dim // 2)
    return found


Path(__file__).with_suffix(".json").write_text(json.dumps({"cases": [case(s) for s in feature_sets()]}))
