"""Quantiles of Beta(k, n + 1 - k) by scipy, for the range of later false alarms. Writes false_alarm_interval.json beside it."""

import json
from pathlib import Path

import scipy
from scipy.stats import beta

cases = []
for n in [1, 2, 19, 20, 99, 100, 600, 1000, 12345, 100000, 1000000]:
    for rate in [0.001, 0.01, 0.05, 0.1, 0.5, 0.9, 0.999]:
        k = int(rate * (n + 1) + 1e-9)
        if 1 <= k <= n:
            lower, upper = beta.ppf([0.025, 0.975], k, n + 1 - k)
            cases.append({"count": n, "rate": rate, "flagged": k, "lower": lower, "upper": upper})
probabilities = [
    {"x": x, "a": a, "b": b, "value": beta.cdf(x, a, b)}
    for a, b in [(1, 1), (1, 99), (99, 1), (5, 96), (30, 571), (5000, 95001)]
    for x in [1e-6, 0.01, 0.049, 0.05, 0.3, 0.99]
]
Path(__file__).with_suffix(".json").write_text(
    json.dumps({"scipy": scipy.__version__, "cases": cases, "probabilities": probabilities}, indent=1) + "\n"
)
