"""Expected values of lib/linalg, by numpy and scipy in float64 on matrices of network_fill.uniform: writes linalg.json.

    python test/reference/linalg.py
"""

import json
from pathlib import Path

import numpy as np
from network_fill import uniform
from scipy import linalg


def matrix(name, *shape):
    return uniform(name, int(np.prod(shape))).reshape(shape)


x, weights = matrix("linalg.x", 30, 6), matrix("linalg.weights", 30) + 1
square = matrix("linalg.square", 3, 7, 7)
symmetric = square + square.transpose(0, 2, 1)
positive = square @ square.transpose(0, 2, 1) + 0.1 * np.eye(7)
tall = matrix("linalg.tall", 2, 9, 4)
low_rank = matrix("linalg.left", 8, 3) @ matrix("linalg.right", 3, 6)
low_symmetric = low_rank @ low_rank.T
values = lambda a: np.asarray(a).ravel().tolist()
labels = np.arange(30) * 7 % 3  # three classes of ten rows
stack = matrix("linalg.stack", 2, 3, 20, 5)


def scatter(rows, weights):
    centred = rows - np.average(rows, axis=0, weights=weights)
    return (weights[:, None] * centred).T @ centred


def within(weights, ddof):
    parts = [(scatter(x[labels == c], weights[labels == c]), weights[labels == c].sum()) for c in range(3)]
    return dict(classes=values([s / (w - ddof) for s, w in parts]),
                pooled=values(sum(s for s, _ in parts) / (weights.sum() - 3 * ddof)))


result = dict(
    covariance={str(ddof): values(np.cov(x.T, ddof=ddof)) for ddof in (0, 1)},
    weighted=values((lambda m: ((x - m) * weights[:, None]).T @ (x - m) / (weights.sum() - 1))(np.average(x, axis=0, weights=weights))),
    repeated=values(np.cov(np.repeat(x, np.arange(30) % 3, axis=0).T)),
    within={str(ddof): within(np.ones(30), ddof) for ddof in (0, 1)},
    within_weighted=within(weights, 1),
    covariance_batch=values([[np.cov(part.T) for part in row] for row in stack]),
    covariance_batch_weighted=values([[np.cov(part.T, aweights=matrix("linalg.stack weights", 20) + 1.5, ddof=0) for part in row] for row in stack]),
    pinv_tall=values(np.linalg.pinv(tall)),
    pinv_low_rank=values(np.linalg.pinv(low_rank, rcond=1e-10)),
    pinv_rank2=values((lambda u, s, v: (v[:2].T / s[:2]) @ u[:, :2].T)(*np.linalg.svd(low_rank, full_matrices=False))),
    pinv_symmetric=values(linalg.pinvh(low_symmetric, rtol=1e-10)),
    cholesky=values(np.linalg.cholesky(positive)),
    logdet=dict(sign=values(np.linalg.slogdet(square)[0]), logarithm=values(np.linalg.slogdet(square)[1])),
    eigenvalues=values(np.linalg.eigvalsh(symmetric)),
    svdvals=values(np.linalg.svd(tall, compute_uv=False)),
)
Path(__file__).with_suffix(".json").write_text(json.dumps(result))
