"""Expected class statistics, in 60-digit arithmetic from the feature sets, with scikit-learn's shrinkages: writes statistics.json.

    python test/reference/statistics.py
"""

import json
from pathlib import Path

import mpmath as mp
import numpy as np
from sklearn.covariance import ledoit_wolf_shrinkage, oas
from statistics_feature_sets import feature_sets

mp.mp.dps = 60


def exact_class(rows):
    """Mean, scatter, sum of |y|^4 of the rows, exactly but for the last rounding."""
    n, d = rows.shape
    x = [[mp.mpf(float(v)) for v in row] for row in rows]
    mean = [mp.fsum(column) / n for column in zip(*x)]
    y = [[v - m for v, m in zip(row, mean)] for row in x]
    scatter = [[float(mp.fsum(row[i] * row[j] for row in y)) for j in range(i + 1)] for i in range(d)]
    fourth = float(mp.fsum(mp.fsum(v * v for v in row) ** 2 for row in y))
    return [float(m) for m in mean], [v for row in scatter for v in row], fourth


def case(s):
    classes = []
    for c in range(len(s.counts)):
        rows = s.features[s.labels == c]
        if len(rows) == 0:
            classes.append(None)
            continue
        mean, scatter, fourth = exact_class(rows)
        centred = (rows - rows.mean(0)) / s.within  # scikit-learn's formulas in a scale of about 1
        shrinkage = dict(ledoit_wolf=float(ledoit_wolf_shrinkage(centred)), oas=float(oas(centred)[1])) if len(rows) > 1 else None
        classes.append(dict(mean=mean, scatter=scatter, fourth=fourth, shrinkage=shrinkage))
    return dict(name=s.name, classes=classes, first=float(s.features[0, 0]), sum=float(np.sum(s.features[:, 0])))


cases = [case(s) for s in feature_sets() if s.dim <= 12]
Path(__file__).with_suffix(".json").write_text(json.dumps(dict(cases=cases)))
