"""Expected log densities with low-rank covariances, by scikit-learn's PCA (probabilistic PCA) and scipy: writes gmm_low_rank.json.

    python test/reference/gmm_low_rank.py
"""

import json
from pathlib import Path

from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA
from statistics_feature_sets import feature_sets

cases = []
for s in feature_sets():
    if s.name not in ("random", "two classes", "class 2 missing"):
        continue
    for rank in (1, 3):
        columns = []
        for c, count in enumerate(s.counts):
            if count == 0:
                columns.append(None)
                continue
            pca = PCA(n_components=rank, svd_solver="full").fit(s.features[s.labels == c])
            columns.append(multivariate_normal(pca.mean_, pca.get_covariance()).logpdf(s.queries).tolist())
        cases.append(dict(name=s.name, rank=rank, classes=columns))
Path(__file__).with_suffix(".json").write_text(json.dumps(cases))
