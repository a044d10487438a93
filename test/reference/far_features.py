"""Expected numbers of features that are hard on rounding (a row far off, a dimension of large spread, far from zero, collapsed, of huge or tiny
scale), in 80-digit arithmetic: writes far_features.json. The same linear congruential generator makes the features in TypeScript.

    python test/reference/far_features.py
"""

import json
import struct
from pathlib import Path

from mpmath import det, eighe, fsum, inverse, log, matrix, mp, mpf, pi, sqrt

mp.dps = 80


def uniform():
    state = 1
    while True:
        state = (state * 1664525 + 1013904223) % 2**32
        yield state / 2**32 - 0.5


def float32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def small(n, d, classes, single):
    """Class means near the axes, uniform deviations."""
    u = uniform()
    rows = [[(4 if i % classes == j else 0) + next(u) for j in range(d)] for i in range(n)]
    if single:
        rows = [[float32(x) for x in row] for row in rows]
    return rows, [[next(u) for _ in range(d)] for _ in range(classes)]


def grid(n, d, classes):
    """Multiples of 2^-26 of a few bits, which 2^25 can be added to without rounding."""
    u = uniform()
    steps = lambda i, j: round(64 * (next(u) + next(u) + (1 if i % classes == j else 0)))
    rows = [[steps(i, j) / 2**26 for j in range(d)] for i in range(n)]
    return rows, [[next(u) for _ in range(d)] for _ in range(classes)]


def far_row(value, single):
    rows, weight = small(90, 8, 3, single)
    rows[0] = [float(value)] * 8
    return rows, weight


def large_dimension(sign):
    rows, weight = small(90, 8, 3, True)
    for i, row in enumerate(rows):
        row[5] = float32(5e5 * sign(i, row) + row[5])
    return rows, weight


def collapsed(size):
    rows, weight = small(60, 6, 3, False)
    return [[(1 if i % 3 == j else 0) + size * x for j, x in enumerate(row)] for i, row in enumerate(rows)], weight


def offset(mean, spread):
    rows, weight = small(60, 6, 3, False)
    return [[mean + spread * x for x in row] for row in rows], weight


SETS = {
    "far-row-1e5": (lambda: far_row(1e5, True), 3),
    "far-row-2e6": (lambda: far_row(2e6, True), 3),
    "far-row-3e6": (lambda: far_row(3e6, True), 3),
    "far-row-2e6-double": (lambda: far_row(2e6, False), 3),
    "large-dimension": (lambda: large_dimension(lambda i, row: 1 if row[7] > 0 else -1), 3),
    "large-dimension-balanced": (lambda: large_dimension(lambda i, row: 1 if (i // 3) % 2 == 0 else -1), 3),
    "grid": (lambda: grid(90, 4, 3), 3),
    "collapsed-1e-9": (lambda: collapsed(1e-9), 3),
    "collapsed-1e-12": (lambda: collapsed(1e-12), 3),
    "mean-1e6": (lambda: offset(1e6, 1e-3), 3),
    "mean-1e8": (lambda: offset(1e8, 1e-3), 3),
}


def norm(v):
    return sqrt(fsum(x * x for x in v))


def dot(a, b):
    return fsum(x * y for x, y in zip(a, b))


def mean_of(rows):
    return [fsum(column) / len(rows) for column in zip(*rows)]


def minus(a, b):
    return [x - y for x, y in zip(a, b)]


def variation(rows):
    norms = [norm(r) for r in rows]
    m = fsum(norms) / len(norms)
    return sqrt(fsum((x - m) ** 2 for x in norms) / (len(norms) - 1)) / m


def angles(rows):
    c = len(rows)
    pairs = [(i, j) for i in range(c) for j in range(c) if i != j]
    return fsum(abs(dot(rows[i], rows[j]) / norm(rows[i]) / norm(rows[j]) + mpf(1) / (c - 1)) for i, j in pairs) / len(pairs)


def etf_distance(rows):
    c = len(rows)
    gram = [[dot(a, b) for b in rows] for a in rows]
    size = sqrt(fsum(x * x for row in gram for x in row))
    ideal = lambda i, j: ((1 if i == j else 0) - mpf(1) / c) / sqrt(mpf(c - 1))
    return sqrt(fsum((gram[i][j] / size - ideal(i, j)) ** 2 for i in range(c) for j in range(c)))


def gaussian(z, mean, covariance):
    y = matrix(minus(z, mean))
    return -((y.T * inverse(covariance) * y)[0] + log(det(covariance)) + len(z) * log(2 * pi)) / 2


def numbers(rows, weight, classes):
    n, d = len(rows), len(rows[0])
    rows = [[mpf(x) for x in row] for row in rows]
    weight = [[mpf(x) for x in row] for row in weight]
    members = [[row for i, row in enumerate(rows) if i % classes == c] for c in range(classes)]
    means = [mean_of(m) for m in members]
    centre = mean_of(means)
    centred = [minus(m, centre) for m in means]
    deviations = [minus(row, means[i % classes]) for i, row in enumerate(rows)]
    gram = matrix(classes, classes)
    for i in range(classes):
        for j in range(classes):
            gram[i, j] = dot(centred[i], centred[j])
    values, vectors = eighe(gram)
    nc1 = mpf(0)
    for k in range(1, classes):  # ascending: the first is zero
        axis = [fsum(vectors[c, k] * centred[c][j] for c in range(classes)) / sqrt(values[k]) for j in range(d)]
        nc1 += fsum(dot(y, axis) ** 2 for y in deviations) / values[k]
    frobenius = lambda m: sqrt(fsum(x * x for row in m for x in row))
    w, m = frobenius(weight), frobenius(centred)
    result = dict(
        nc1=nc1 * classes / n,
        enMeans=variation(centred), enClassifier=variation(weight), eaMeans=angles(centred), eaClassifier=angles(weight),
        nc3=fsum((a / w - b / m) ** 2 for ra, rb in zip(weight, centred) for a, b in zip(ra, rb)),
        etfDistanceMeans=etf_distance(centred), etfDistanceClassifier=etf_distance(weight),
    )

    scatter = lambda some: matrix([[fsum(y[i] * y[j] for y in some) for j in range(d)] for i in range(d)])
    own = [scatter(deviations[c::classes]) for c in range(classes)]
    pooled = scatter(deviations) / (n - classes)
    overall = mean_of(rows)
    whole = scatter([minus(row, overall) for row in rows]) / (n - 1)
    z = rows[1]
    mixture = lambda covariances: log(fsum(mp.exp(gaussian(z, means[c], covariances[c])) for c in range(classes)) / classes)
    per_class = [s / (len(m) - 1) for s, m in zip(own, members)]
    diagonal = [matrix([[s[i, j] if i == j else 0 for j in range(d)] for i in range(d)]) for s in per_class]
    # Mahalanobis scores divide both scatters by N (Lee et al. 2018, Ren et al. 2021).
    distance = lambda mean, scatter: n * (matrix(minus(z, mean)).T * inverse(scatter) * matrix(minus(z, mean)))[0]
    nearest = min(distance(m, pooled * (n - classes)) for m in means)
    result.update(
        full=mixture(per_class), tied=mixture([pooled] * classes), diagonal=mixture(diagonal),
        mahalanobis=-nearest, relativeMahalanobis=-(nearest - distance(overall, whole * (n - 1))),
        globalVariance=whole[0, 0], globalCovariance=whole[0, 1],
    )
    return {key: float(value) for key, value in result.items()}


def main():
    cases = []
    for name, (make, classes) in SETS.items():
        rows, weight = make()
        cases.append(dict(name=name, **numbers(rows, weight, classes)))
        print(name, cases[-1]["nc1"])
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(dict(cases=cases), indent=1) + "\n")


if __name__ == "__main__":
    main()
