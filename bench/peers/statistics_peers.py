"""Peers of everything that follows extraction: the DDU benchmark's mixture, neural collapse NC1, AUROC, and the linear
algebra, covariance estimators and nearest neighbours of PyTorch and scikit-learn. All in float64 unless `dtype` says otherwise.

Features are those of inputs.py (parameters: samples, dimensions, classes, seed), converted to float64 before the clock starts.
"""

import numpy as np
import scipy.sparse.linalg
import torch
from sklearn.covariance import OAS, EmpiricalCovariance, LedoitWolf
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from torch.distributions import MultivariateNormal

import inputs

JITTERS = [0.0, torch.finfo(torch.double).tiny] + [10.0**k for k in range(-308, 0)]


def class_gaussians(z, labels, classes):
    """DDU's fit: a mean and a covariance (n - 1) per class, and the first jitter of its list that PyTorch accepts for all classes."""
    means = torch.stack([z[labels == c].mean(0) for c in range(classes)])
    covariances = []
    for c in range(classes):
        centred = z[labels == c] - means[c]
        covariances.append(centred.t().mm(centred) / (len(centred) - 1))
    covariances = torch.stack(covariances)
    for jitter in JITTERS:
        try:
            return MultivariateNormal(means, covariances + jitter * torch.eye(z.shape[1], dtype=z.dtype)), jitter
        except (RuntimeError, ValueError):  # not positive definite
            continue
    raise ArithmeticError("no jitter of the list makes every covariance positive definite")


def double_features(samples, dimensions, classes, seed=1):
    z, labels = inputs.features(seed, samples, dimensions, classes)
    return torch.from_numpy(z).double(), torch.from_numpy(labels)


def gmm_fit(samples=5000, dimensions=512, classes=10, seed=1):
    """Well-conditioned data only: where a covariance is singular, DDU's own search ends in an error with current PyTorch (it looks for
    messages that have changed), so there is nothing to time. Value: the sum of the log determinants' halves."""
    z, labels = double_features(samples, dimensions, classes, seed)

    @torch.no_grad()
    def run():
        mixture, jitter = class_gaussians(z, labels, classes)
        assert jitter == 0
        return mixture.scale_tril.diagonal(dim1=1, dim2=2).log().sum()

    return run


def gmm_log_density(samples=5000, dimensions=512, classes=10, seed=1, queries=1000, chunk=500):
    """DDU's scores: log_prob of z[:, None, :] batch by batch, then logsumexp over the classes. The fit is not timed.
    Chunks of 500 are about the fastest on a CPU, within a few percent at d = 2048. Value: the mean."""
    z, labels = double_features(samples, dimensions, classes, seed)
    with torch.no_grad():
        mixture, _ = class_gaussians(z, labels, classes)
    query = torch.from_numpy(inputs.uniform(f"queries {seed}", (queries, dimensions))).double()
    del z, labels

    @torch.no_grad()
    def run():
        return torch.cat([torch.logsumexp(mixture.log_prob(q[:, None, :]), 1) for q in query.split(chunk)]).mean()

    return run


def nc1(method):
    def prepare(samples=5000, dimensions=512, classes=10, seed=1):
        """tr(Sigma_W Sigma_B^+) from features, through the d x d matrices. Value: NC1."""
        z, labels = double_features(samples, dimensions, classes, seed)

        @torch.no_grad()
        def run():
            counts = torch.bincount(labels, minlength=classes)
            means = torch.zeros(classes, dimensions, dtype=z.dtype).index_add_(0, labels, z) / counts[:, None]
            centred = z - means[labels]
            within = centred.t().mm(centred) / len(z)
            offsets = means - means.mean(0)
            between = offsets.t().mm(offsets) / classes
            # The cut-off keeps the rank at C - 1: the default one lets rounding noise in.
            if method == "pinv":
                inverse = torch.linalg.pinv(between, rtol=1e-10)
            elif method == "pinv_hermitian":
                inverse = torch.linalg.pinv(between, rtol=1e-10, hermitian=True)
            elif method == "svds":  # the C - 1 leading singular pairs only, as Papyan, Han and Donoho's notebook does
                left, values, _ = scipy.sparse.linalg.svds(between.numpy(), k=classes - 1)
                inverse = torch.from_numpy((left / values) @ left.T)
            return (within * inverse).sum()

        return run

    return prepare


def auroc(inDistribution=10000, outOfDistribution=10000, seed=1):
    """Of the scores r + 0.5 in distribution and r out of distribution. Value: AUROC."""
    inside = inputs.uniform(f"inside {seed}", (inDistribution,), np.float64) + 0.5
    outside = inputs.uniform(f"outside {seed}", (outOfDistribution,), np.float64)

    def run():
        labels = np.concatenate([np.ones(inDistribution), np.zeros(outOfDistribution)])
        return roc_auc_score(labels, np.concatenate([inside, outside]))

    return run


def matrix(name, rows, columns, dtype):
    """r(name, i columns + j) (1 + j mod 8) / 4 at (i, j): columns of unequal spread, so that shrinkage has something to do."""
    x = inputs.uniform(name, (rows, columns), np.dtype(dtype))
    x *= ((1 + np.arange(columns) % 8) / 4).astype(x.dtype)
    return x


def on_samples(operation):
    """An operation on matrix(f"matrix {seed}", samples, dimensions)."""

    def prepare(samples=5000, dimensions=512, seed=1, dtype="float64"):
        x = matrix(f"matrix {seed}", samples, dimensions, dtype)
        return lambda: operation(x)

    return prepare


def on_torch_samples(operation):
    @torch.no_grad()
    def run(x):
        return operation(torch.from_numpy(x))

    return on_samples(run)


def on_covariance(operation):
    """An operation on the covariance of that matrix (n - 1), which is not timed: symmetric, positive definite where samples > dimensions."""

    def prepare(samples=5000, dimensions=512, seed=1, dtype="float64"):
        x = matrix(f"matrix {seed}", samples, dimensions, dtype)
        covariance = torch.cov(torch.from_numpy(x).t()).contiguous()
        return lambda: operation(covariance)

    return prepare


def neighbours(samples=5000, dimensions=512, queries=1000, k=10, seed=1, dtype="float32"):
    """Euclidean distances to the k nearest rows, by brute force. Value: the mean distance to the k-th."""
    x = matrix(f"matrix {seed}", samples, dimensions, dtype)
    query = matrix(f"queries {seed}", queries, dimensions, dtype)

    def run():
        return NearestNeighbors(n_neighbors=k, algorithm="brute").fit(x).kneighbors(query)[0][:, -1].mean()

    return run


def mahalanobis(samples=5000, dimensions=512, classes=10, seed=1, queries=1000):
    """Lee et al. 2018 as OpenOOD has it, in float64: scikit-learn's precision of the rows less their class's mean, then the distances to each
    mean. OpenOOD takes the diagonal of an N x N product; the row sums here are the same in less time. Fit and scores; value: the mean."""
    z, labels = (a.numpy() for a in double_features(samples, dimensions, classes, seed))
    query = inputs.uniform(f"queries {seed}", (queries, dimensions)).astype(np.float64)

    def run():
        means = np.stack([z[labels == c].mean(0) for c in range(classes)])
        precision = EmpiricalCovariance(assume_centered=True).fit(z - means[labels]).precision_
        scores = []
        for mean in means:
            y = query - mean
            scores.append(-((y @ precision) * y).sum(1))
        return np.stack(scores).max(0).mean()

    return run


def vim_fit(samples=5000, dimensions=512, classes=10, seed=1, eigenvectors="eig"):
    """Wang et al. 2022 as OpenOOD has it, in float64; `eigenvectors` "eigh" instead of its general "eig". Value: alpha."""
    z = double_features(samples, dimensions, classes, seed)[0].numpy()
    w = inputs.uniform("weight", (classes, dimensions)).astype(np.float64)
    b = inputs.uniform("bias", (classes,)).astype(np.float64)
    logits = z @ w.T + b
    kept = 1000 if dimensions >= 2048 else 512 if dimensions >= 768 else dimensions // 2

    def run():
        origin = -np.linalg.pinv(w) @ b
        covariance = EmpiricalCovariance(assume_centered=True).fit(z - origin).covariance_
        values, vectors = getattr(np.linalg, eigenvectors)(covariance)
        rest = np.ascontiguousarray(vectors.T[np.argsort(-values)[kept:]].T)
        return logits.max(1).mean() / np.linalg.norm((z - origin) @ rest, axis=1).mean()

    return run


OPERATIONS = {
    "gmm_fit": gmm_fit,
    "gmm_log_density": gmm_log_density,
    "nc1_pinv": nc1("pinv"),
    "nc1_pinv_hermitian": nc1("pinv_hermitian"),
    "nc1_svds": nc1("svds"),
    "auroc": auroc,
    "covariance": on_torch_samples(lambda x: torch.cov(x.t()).trace()),
    "pinv": on_torch_samples(lambda x: torch.linalg.pinv(x).square().sum()),
    "svd": on_torch_samples(lambda x: torch.linalg.svd(x, full_matrices=False).S.sum()),
    "svdvals": on_torch_samples(lambda x: torch.linalg.svdvals(x).sum()),
    "pinv_symmetric": on_covariance(lambda s: torch.linalg.pinv(s, hermitian=True).trace()),
    "cholesky": on_covariance(lambda s: torch.linalg.cholesky(s).diagonal().sum()),
    "eigh": on_covariance(lambda s: torch.linalg.eigh(s).eigenvalues.sum()),
    "slogdet": on_covariance(lambda s: torch.linalg.slogdet(s).logabsdet),
    "ledoit_wolf": on_samples(lambda x: LedoitWolf().fit(x).shrinkage_),
    "oas": on_samples(lambda x: OAS().fit(x).shrinkage_),
    "nearest_neighbours": neighbours,
    "mahalanobis": mahalanobis,
    "vim_fit": vim_fit,
}
