"""Expected values of lib/metrics, by scikit-learn, scipy and numpy: writes metrics.json beside this file.

    python test/reference/metrics.py
"""

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy import optimize, special, stats
from sklearn import metrics as sk

rng = np.random.default_rng(20221201)


def openood_fpr(positives, negatives, tpr):
    """False-positive rate at the first ROC point that reaches the true-positive rate, no point dropped."""
    labels = np.r_[np.ones(len(positives)), np.zeros(len(negatives))]
    fpr_list, tpr_list, _ = sk.roc_curve(labels, np.r_[positives, negatives], drop_intermediate=False)
    return float(fpr_list[np.argmax(tpr_list >= tpr)])


def exact_auroc(positives, negatives):
    """All pairs, in rational arithmetic: for magnitudes where scikit-learn's own handling is not trusted."""
    wins = sum(Fraction(2 * (p > n) + (p == n), 2) for p in positives for n in negatives)
    return float(wins / (len(positives) * len(negatives)))


def area_trapezoid(labels, scores):
    precision, recall, _ = sk.precision_recall_curve(labels, scores)
    return float(sk.auc(recall, precision))


def top_false_positives(id_scores, ood_scores):
    """Mean over random orders of the tied scores, exactly: each tied input has the same chance of a place."""
    both = np.sort(np.r_[id_scores, ood_scores])[::-1]
    cut = both[len(id_scores) - 1]
    places = len(id_scores) - np.sum(both > cut)
    return float(np.sum(ood_scores > cut) + places * np.sum(ood_scores == cut) / np.sum(both == cut))


def scores_case(name, id_scores, ood_scores):
    id_scores, ood_scores = np.asarray(id_scores, float), np.asarray(ood_scores, float)
    labels = np.r_[np.ones(len(id_scores)), np.zeros(len(ood_scores))]
    scores = np.r_[id_scores, ood_scores]
    roc = sk.roc_curve(labels, scores, drop_intermediate=False)
    pr = sk.precision_recall_curve(labels, scores)
    pr_out = sk.precision_recall_curve(1 - labels, -scores)
    return dict(
        name=name, id=id_scores.tolist(), ood=ood_scores.tolist(),
        auroc=exact_auroc(id_scores, ood_scores),
        auroc_sklearn=float(sk.roc_auc_score(labels, stats.rankdata(scores))),
        ap_in=float(sk.average_precision_score(labels, scores)),
        ap_out=float(sk.average_precision_score(1 - labels, -scores)),
        trapezoid_in=area_trapezoid(labels, scores), trapezoid_out=area_trapezoid(1 - labels, -scores),
        fpr={str(t): dict(out=openood_fpr(-ood_scores, -id_scores, t), **{"in": openood_fpr(id_scores, ood_scores, t)})
             for t in (0.05, 0.5, 0.8, 0.95, 1.0)},
        top_false_positives=top_false_positives(id_scores, ood_scores),
        roc=dict(fpr=roc[0].tolist(), tpr=roc[1].tolist(), thresholds=[t for t in roc[2].tolist()[1:]]),
        pr=dict(precision=pr[0].tolist(), recall=pr[1].tolist(), thresholds=pr[2].tolist()),
        pr_out=dict(precision=pr_out[0].tolist(), recall=pr_out[1].tolist(), thresholds=pr_out[2].tolist()),
    )


ties = rng.integers(0, 6, 40), rng.integers(0, 5, 30)
cases = [
    scores_case("normal", rng.normal(1, 1, 60), rng.normal(0, 1, 45)),
    scores_case("ties", *ties),
    scores_case("magnitude 1e15, one unit apart", -1e15 + ties[0], -1e15 + ties[1]),
    scores_case("magnitude 1e300", rng.normal(1, 1, 20) * 1e300, rng.normal(0, 1, 25) * 1e300),
    scores_case("subnormal", rng.integers(0, 9, 20) * 5e-324, rng.integers(0, 9, 25) * 5e-324),
    scores_case("perfect", [3, 4, 5], [0, 1]),
    scores_case("inverted", [0, 1], [3, 4, 5]),
    scores_case("all equal", [2, 2, 2], [2, 2]),
    scores_case("one each", [1], [0]),
    scores_case("one in, many out", [0.5], rng.normal(0, 1, 33)),
    scores_case("signed zeros", [0.0, -0.0, 1.0], [-0.0, 0.0, -1.0]),
]

# Calibration: confidences that sit on bin edges as well as random ones, by the definition of Guo et al. (lower, upper].
confidence = np.r_[rng.uniform(0.1, 1, 200), np.arange(1, 16) / 15, 1.0, 1.0]
predictions = rng.integers(0, 4, len(confidence))
labels = np.where(rng.uniform(size=len(confidence)) < confidence, predictions, (predictions + 1) % 4)


def expected_calibration_error(bins):
    edges = [k / bins for k in range(bins + 1)]
    total = 0.0
    for low, high in zip(edges, edges[1:]):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            total += inside.mean() * abs((predictions == labels)[inside].mean() - confidence[inside].mean())
    return float(total)


logits = rng.normal(0, 4, (80, 5))
classes = np.where(rng.uniform(size=80) < 0.6, logits.argmax(1), rng.integers(0, 5, 80))


def nll(inverse):
    return float(-special.log_softmax(logits * inverse, axis=1)[np.arange(80), classes].mean())


def nll_slope(inverse):
    p = special.softmax(logits * inverse, axis=1)
    return float(((p * logits).sum(1) - logits[np.arange(80), classes]).mean())


inverse = optimize.brentq(nll_slope, 1e-2, 1e2, xtol=1e-16, rtol=1e-15)
runs = rng.normal(0.95, 0.01, 15)


def xoshiro128ss(seed):
    """xoshiro128** of Blackman and Vigna, its state filled from the seed by splitmix32."""
    mask, rotate = 0xFFFFFFFF, lambda v, k: (v << k | v >> (32 - k)) & 0xFFFFFFFF

    def splitmix():
        nonlocal seed
        seed = (seed + 0x9E3779B9) & mask
        h = (seed ^ seed >> 16) * 0x85EBCA6B & mask
        h = (h ^ h >> 13) * 0xC2B2AE35 & mask
        return h ^ h >> 16

    s = [splitmix() for _ in range(4)]
    while True:
        yield rotate(s[1] * 5 & mask, 7) * 9 & mask
        t = s[1] << 9 & mask
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotate(s[3], 11)


def bootstrap(id_scores, ood_scores, seed, resamples, level):
    """Percentile interval of scikit-learn's AUROC; each set sorted, then drawn with 53-bit fractions."""
    words = xoshiro128ss(seed)

    def draw(values):
        values = np.sort(values)
        return values[[int(((next(words) >> 5) * 2**26 + (next(words) >> 6)) / 2**53 * len(values)) for _ in values]]

    def area(a, b):
        return sk.roc_auc_score(np.r_[np.ones(len(a)), np.zeros(len(b))], np.r_[a, b])

    areas = [area(draw(id_scores), draw(ood_scores)) for _ in range(resamples)]
    return dict(seed=seed, resamples=resamples, level=level, lower=float(np.quantile(areas, (1 - level) / 2)),
                upper=float(np.quantile(areas, (1 + level) / 2)))


x, y = rng.normal(size=30), rng.normal(size=30)

result = dict(
    cases=cases,
    calibration=dict(confidence=confidence.tolist(), predictions=predictions.tolist(), labels=labels.tolist(),
                     ece={str(b): expected_calibration_error(b) for b in (1, 10, 15, 20)},
                     accuracy=float(sk.accuracy_score(labels, predictions))),
    temperature=dict(logits=logits.ravel().tolist(), shape=[80, 5], labels=classes.tolist(), temperature=1 / inverse,
                     nll_before=nll(1.0), nll_after=nll(inverse)),
    logit_scores={str(t): dict(confidence=special.softmax(logits / t, 1).max(1).tolist(),
                               entropy=stats.entropy(special.softmax(logits / t, 1), axis=1).tolist(),
                               energy=(t * special.logsumexp(logits / t, axis=1)).tolist(),
                               maximum=logits.max(1).tolist()) for t in (1, 2.5)},
    summary=dict(values=runs.tolist(), min=runs.min(), max=runs.max(), mean=math.fsum(runs) / 15, sd=float(runs.std(ddof=1)),
                 standard_error=float(stats.sem(runs))),
    bootstrap=[bootstrap(cases[0]["id"], cases[0]["ood"], 7, 400, 0.95), bootstrap(cases[1]["id"], cases[1]["ood"], 0, 100, 0.9)],
    pearson=dict(x=x.tolist(), y=(x + 0.3 * y).tolist(), r=float(stats.pearsonr(x, x + 0.3 * y)[0])),
)
Path(__file__).with_suffix(".json").write_text(json.dumps(result))
