"""Expected Gaussian log densities: writes gmm.json.

For each feature set and class, the log densities of the queries in 60-digit arithmetic, from the features themselves, for jitter 0
(where the covariance has a Cholesky factor) and for every power of ten times tr/d that the jitter rule could choose, with the ratio
min L_ii^2 / max L_ii^2 that decides. The same for the tied and diagonal estimators and, with scikit-learn's shrunk covariances, for
Ledoit-Wolf and OAS. The DDU code's fit and search, written afresh over torch.distributions, give the parity values.

    python test/reference/gmm.py
"""

import json
import math
from pathlib import Path

import mpmath as mp
import numpy as np
import torch
from scipy import linalg, special
from sklearn.covariance import LedoitWolf, OAS
from statistics_feature_sets import feature_sets

mp.mp.dps = 60
POWERS = list(range(-17, -8))


def exact_scatter(rows):
    n = len(rows)
    x = [[mp.mpf(float(v)) for v in row] for row in rows]
    mean = [mp.fsum(column) / n for column in zip(*x)]
    y = [[v - m for v, m in zip(row, mean)] for row in x]
    d = len(mean)
    scatter = mp.matrix(d, d)
    for i in range(d):
        for j in range(i + 1):
            scatter[i, j] = scatter[j, i] = mp.fsum(row[i] * row[j] for row in y)
    return mean, scatter


def factor(matrix):
    """Lower Cholesky factor, or None where a pivot is not positive to 50 digits."""
    d = matrix.rows
    lower = mp.matrix(d, d)
    scale = max(matrix[i, i] for i in range(d))
    for j in range(d):
        pivot = matrix[j, j] - mp.fsum(lower[j, k] ** 2 for k in range(j))
        if pivot <= scale * mp.mpf(10) ** -45:
            return None
        lower[j, j] = mp.sqrt(pivot)
        for i in range(j + 1, d):
            lower[i, j] = (matrix[i, j] - mp.fsum(lower[i, k] * lower[j, k] for k in range(j))) / lower[j, j]
    return lower


def log_density(query, mean, lower):
    d = len(mean)
    white = []
    for i in range(d):
        rest = mp.mpf(float(query[i])) - mean[i] - mp.fsum(lower[i, k] * white[k] for k in range(i))
        white.append(rest / lower[i, i])
    log_det = 2 * mp.fsum(mp.log(lower[i, i]) for i in range(d))
    return float(-(mp.fsum(w * w for w in white) + log_det + d * mp.log(2 * mp.pi)) / 2)


def with_jitters(queries, mean, covariance, scale):
    """log densities by power of ten (key "none": jitter 0), and the ratio that decides whether the power is safe."""
    result = {}
    for power in [None, *POWERS]:
        shifted = covariance.copy()
        if power is not None:
            for i in range(shifted.rows):
                shifted[i, i] += mp.mpf(10) ** power * scale
        lower = factor(shifted)
        if lower is None:
            continue
        squares = [lower[i, i] ** 2 for i in range(shifted.rows)]
        result["none" if power is None else str(power)] = dict(
            ratio=float(min(squares) / max(squares)), log_density=[log_density(q, mean, lower) for q in queries])
    return result


def exact_case(s):
    d = s.dim
    parts = {c: exact_scatter(s.features[s.labels == c]) for c in range(len(s.counts)) if s.counts[c] > 0}
    present = len(parts)
    pooled = mp.matrix(d, d)
    for _, scatter in parts.values():
        pooled += scatter
    divisor = max(1, sum(s.counts) - present)
    pooled_scale = mp.fsum(pooled[i, i] for i in range(d)) / divisor / d
    if pooled_scale == 0:
        return None
    full, tied, diagonal, scales = [], [], [], []
    for c in range(len(s.counts)):
        if c not in parts:
            for column in (full, tied, diagonal, scales):
                column.append(None)
            continue
        mean, scatter = parts[c]
        n = s.counts[c]
        covariance = scatter / max(1, n - 1)
        trace = mp.fsum(covariance[i, i] for i in range(d)) / d
        scale = pooled_scale if n == 1 or trace == 0 else trace
        scales.append(float(scale))
        full.append(with_jitters(s.queries, mean, covariance, scale))
        tied.append(with_jitters(s.queries, mean, pooled / divisor, pooled_scale))
        variances = mp.diag([covariance[i, i] for i in range(d)])
        diagonal.append(with_jitters(s.queries, mean, variances, scale))
    return dict(name=s.name, scales=scales, pooled_scale=float(pooled_scale), full=full, tied=tied, diagonal=diagonal)


def gaussian(queries, mean, covariance):
    lower = linalg.cholesky(covariance, lower=True)
    white = linalg.solve_triangular(lower, (queries - mean).T, lower=True)
    return (-0.5 * (white**2).sum(0) - np.log(np.diag(lower)).sum() - 0.5 * len(mean) * math.log(2 * math.pi)).tolist()


def shrunk_case(s):
    """Centred and scaled to about 1 before scikit-learn sees them; its density is carried back by the scale."""
    result = {}
    for name, estimator in (("ledoit-wolf", LedoitWolf), ("oas", OAS)):
        columns = []
        for c in range(len(s.counts)):
            rows = s.features[s.labels == c]
            if len(rows) < 2:
                columns.append(None)
                continue
            mean = np.array([math.fsum(column) / len(rows) for column in rows.T])
            covariance = estimator(assume_centered=True).fit((rows - mean) / s.within).covariance_
            columns.append([v - s.dim * math.log(s.within) for v in gaussian((s.queries - mean) / s.within, np.zeros(s.dim), covariance)])
        result[name] = columns
    return dict(name=s.name, **result)


JITTERS = [0, torch.finfo(torch.double).tiny] + [10**e for e in range(-308, 0)]


def ddu_fit(features, labels, classes):
    """One Gaussian per class and one absolute jitter, the first of the list with which every covariance factorises."""
    means = torch.stack([features[labels == c].mean(0) for c in range(classes)])
    centred = [features[labels == c] - means[c] for c in range(classes)]
    covariances = torch.stack([y.T @ y / (len(y) - 1) for y in centred])
    for jitter in JITTERS:
        try:
            shifted = covariances + jitter * torch.eye(features.shape[1], dtype=torch.double)
            return torch.distributions.MultivariateNormal(means, covariance_matrix=shifted), jitter
        except (ValueError, RuntimeError):
            continue
    raise ValueError("no jitter")


def ddu_case(s):
    mixture, jitter = ddu_fit(torch.from_numpy(s.features), torch.from_numpy(s.labels), len(s.counts))
    classes = mixture.log_prob(torch.from_numpy(s.queries)[:, None, :]).numpy()
    return dict(name=s.name, jitter=jitter, classes=classes.T.tolist(), score=special.logsumexp(classes, axis=1).tolist())


sets = {s.name: s for s in feature_sets()}
small = [s for s in sets.values() if s.dim <= 12]
result = dict(
    exact=[c for c in map(exact_case, small) if c is not None],
    shrunk=[shrunk_case(s) for s in [*small, sets["100 classes"], sets["2048 dimensions"]]],
    ddu=[ddu_case(sets[name]) for name in ("random", "collapsed-1e-6", "two classes", "two dimensions")],
)
Path(__file__).with_suffix(".json").write_text(json.dumps(result))
