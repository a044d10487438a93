"""Expected Gaussian log densities: writes gmm.json.

For each feature set and class, the log densities of the queries in 60-digit arithmetic, from the features themselves, for jitter 0
(where the covariance has a Cholesky factor) and for every power of ten times tr/d that the jitter rule could choose, with the
shares that decide: min L_ii^2 / max L_ii^2, and the least variance of a feature given the others, of its own. The same for the tied and diagonal estimators and, with scikit-learn's shrunk covariances, for
Ledoit-Wolf and OAS. The DDU code's fit and search, written afresh over torch.distributions, give the parity values for every set of
up to 32 dimensions where jitter 0 works and no covariance has a condition number above 1e6. Of 100 classes, four are recorded; in
2048 dimensions, where a class has fewer samples, the full covariance is worked out on the samples' side (Woodbury's identity).

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
POWERS = list(range(-17, -7))


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


def least_share(matrix, lower):
    """The least 1 / (S_ii (S^-1)_ii): a feature's variance given the others, as a share of its own."""
    d = matrix.rows
    inverse = mp.matrix(d, d)  # of the factor
    for i in range(d):
        inverse[i, i] = 1 / lower[i, i]
        for j in range(i):
            inverse[i, j] = -mp.fsum(lower[i, k] * inverse[k, j] for k in range(j, i)) / lower[i, i]
    return min(1 / (matrix[i, i] * mp.fsum(inverse[k, i] ** 2 for k in range(i, d))) for i in range(d))


def with_jitters(queries, mean, covariance, scale):
    """log densities by power of ten (key "none": jitter 0), and what decides whether the power is safe."""
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
            ratio=float(min(squares) / max(squares)), share=float(least_share(shifted, lower)),
            log_density=[log_density(q, mean, lower) for q in queries])
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
    recorded = range(0, len(s.counts), max(1, len(s.counts) // 4)) if len(s.counts) > 10 else range(len(s.counts))
    for c in range(len(s.counts)):
        if c not in parts or c not in recorded:
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


def with_jitters_on_samples(queries, mean, y, scale, powers):
    """with_jitters for jitter I + y^T y / (n - 1) with fewer rows n than dimensions d: everything is n x n, by Woodbury's identity. The
    squared pivots are the variances of each dimension given those before it, jitter (1 + y_i^T P y_i), P brought up to date by
    Sherman and Morrison's formula."""
    n, d = len(y), len(mean)
    result = {}
    for power in powers:
        jitter = mp.mpf(10) ** power * scale
        inverse = mp.eye(n) / (jitter * (n - 1))
        log_det, low, high = mp.mpf(0), None, None
        for i in range(d):
            column = mp.matrix([row[i] for row in y])
            gain = inverse * column
            rest = 1 + (column.T * gain)[0]
            inverse -= gain * gain.T / rest
            pivot = jitter * rest
            log_det += mp.log(pivot)
            low = pivot if low is None else min(low, pivot)
            high = pivot if high is None else max(high, pivot)
        # now inverse = (jitter (n - 1) I + y y^T)^-1
        share = None
        for i in range(d):
            column = mp.matrix([row[i] for row in y])
            own = jitter + mp.fdot(column, column) / (n - 1)
            given = jitter / (1 - (column.T * inverse * column)[0])
            share = given / own if share is None else min(share, given / own)
        densities = []
        for query in queries:
            distance = [mp.mpf(float(v)) - m for v, m in zip(query, mean)]
            along = mp.matrix([mp.fdot(row, distance) for row in y])
            squared = (mp.fdot(distance, distance) - (along.T * inverse * along)[0]) / jitter
            densities.append(float(-(squared + log_det + d * mp.log(2 * mp.pi)) / 2))
        result[str(power)] = dict(ratio=float(low / high), share=float(share), log_density=densities)
    return result


def few_samples_case(s, powers):
    full, diagonal, scales, total = [], [], [], mp.mpf(0)
    for c, n in enumerate(s.counts):
        x = [[mp.mpf(float(v)) for v in row] for row in s.features[s.labels == c]]
        mean = [mp.fsum(column) / n for column in zip(*x)]
        y = [[v - m for v, m in zip(row, mean)] for row in x]
        variances = [mp.fsum(v * v for v in column) / (n - 1) for column in zip(*y)]
        total += mp.fsum(variances) * (n - 1)
        scale = mp.fsum(variances) / s.dim
        scales.append(float(scale))
        full.append(with_jitters_on_samples(s.queries, mean, y, scale, powers))
        log_det = mp.fsum(mp.log(v) for v in variances) + s.dim * mp.log(2 * mp.pi)
        density = [float(-(mp.fsum((mp.mpf(float(v)) - m) ** 2 / w for v, m, w in zip(query, mean, variances)) + log_det) / 2)
                   for query in s.queries]
        diagonal.append(dict(none=dict(ratio=float(min(variances) / max(variances)), share=1.0, log_density=density)))
    pooled_scale = float(total / (sum(s.counts) - len(s.counts)) / s.dim)
    return dict(name=s.name, scales=scales, pooled_scale=pooled_scale, full=full, tied=[None] * len(s.counts), diagonal=diagonal)


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
    if jitter != 0 or max(torch.linalg.cond(mixture.covariance_matrix)) >= 1e6:
        return None
    classes = mixture.log_prob(torch.from_numpy(s.queries)[:, None, :]).numpy()
    return dict(name=s.name, jitter=jitter, classes=classes.T.tolist(), score=special.logsumexp(classes, axis=1).tolist())


sets = {s.name: s for s in feature_sets()}
small = [s for s in sets.values() if s.dim <= 32]
few_samples = [few_samples_case(sets["2048 dimensions"], (-14, -13, -12, -11, -10, -9, -8))]
result = dict(
    exact=[c for c in map(exact_case, small) if c is not None] + few_samples,
    shrunk=[shrunk_case(s) for s in sets.values()],
    ddu=[c for c in map(ddu_case, (s for s in small if min(s.counts) > s.dim)) if c is not None],
)
Path(__file__).with_suffix(".json").write_text(json.dumps(result))
