"""Expected class statistics, in 60-digit arithmetic from the feature sets, with scikit-learn's shrinkages: writes statistics.json.
Of sets with more than 12 dimensions, six columns and at most six classes.

    python test/reference/statistics.py
"""

import json
from pathlib import Path

import mpmath as mp
import numpy as np
from sklearn.covariance import ledoit_wolf_shrinkage, oas
from statistics_feature_sets import feature_sets

mp.mp.dps = 60


def exact_class(rows, columns):
    """Mean and scatter of those columns, and the sum of |y|^4 over all, exactly but for the last rounding."""
    n = len(rows)
    x = [[mp.mpf(float(v)) for v in column] for column in rows.T]
    mean = [mp.fsum(column) / n for column in x]
    y = [[v - m for v in column] for column, m in zip(x, mean)]
    scatter = [float(mp.fdot(y[i], y[j])) for a, i in enumerate(columns) for j in columns[: a + 1]]
    fourth = float(mp.fsum(mp.fsum(v * v for v in row) ** 2 for row in zip(*y)))
    return [float(mean[j]) for j in columns], scatter, fourth


def spaced(count, most):
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()


def case(s):
    columns = spaced(s.dim, 12 if s.dim <= 12 else 6)
    classes = []
    for c in spaced(len(s.counts), 12 if s.dim <= 12 else 6):
        rows = s.features[s.labels == c]
        if len(rows) == 0:
            continue
        mean, scatter, fourth = exact_class(rows, columns)
        centred = (rows - rows.mean(0)) / s.within  # scikit-learn's formulas in a scale of about 1
        shrinkage = dict(ledoit_wolf=float(ledoit_wolf_shrinkage(centred)), oas=float(oas(centred)[1])) if len(rows) > 1 else None
        classes.append(dict(label=c, mean=mean, scatter=scatter, fourth=fourth, shrinkage=shrinkage))
    return dict(name=s.name, columns=columns, classes=classes, first=float(s.features[0, 0]))


Path(__file__).with_suffix(".json").write_text(json.dumps(dict(cases=[case(s) for s in feature_sets()])))
