"""Expected singular values of feature sets, and of their queries seen in the basis, by numpy: writes singular_values.json.

    python test/reference/singular_values.py
"""

import json
from pathlib import Path

import numpy as np
from statistics_feature_sets import feature_sets

NAMES = ("random", "fewer samples than dimensions", "two dimensions", "2048 dimensions", "tiny scale", "large scale",
         "features of a trained network", "logits of a trained network")


def case(s, centred, k):
    centre = s.features.mean(0) if centred else np.zeros(s.dim)
    _, values, right = np.linalg.svd(s.features - centre, full_matrices=False)
    rank = int((values > max(s.features.shape) * np.finfo(float).eps * values[0]).sum())
    kept = min(k or len(values), len(values))
    basis = right[:kept].T
    others = s.queries - centre
    along = others @ basis
    projected = np.zeros(kept)
    found = np.linalg.svd(along, compute_uv=False)
    projected[: len(found)] = found
    return dict(name=s.name, centred=centred, k=k, values=values[:kept].tolist(), rank=rank, outside=float(np.linalg.norm(values[kept:])),
                projected=dict(values=projected.tolist(), lengths=np.linalg.norm(along, axis=0).tolist(),
                               outside=float(np.linalg.norm(others - along @ basis.T))))


sets = [s for s in feature_sets() if s.name in NAMES]
cases = [case(s, centred, k) for s in sets for centred in (False, True) for k in (None, 3) if k is None or s.dim > 3]
Path(__file__).with_suffix(".json").write_text(json.dumps(dict(cases=cases)))
