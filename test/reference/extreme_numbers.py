"""Expected values at the edges of float64: writes extreme_numbers.json.

Huge, tiny, equal, nearly singular and very sure inputs to the metrics, the linear algebra and the singular values, in 700-digit arithmetic
over the float64 inputs themselves. A value beyond float64 is null: there the library has to throw ERR_RANGE.

    python test/reference/extreme_numbers.py
"""

import json
import sys
from pathlib import Path

import mpmath as mp

mp.mp.dps = 700
LARGEST = mp.mpf(sys.float_info.max)


def number(value):
    """As float64, rounded once; None beyond it."""
    value = mp.mpf(value)
    return None if abs(value) > LARGEST * (1 + mp.mpf(2) ** -54) else float(value)


def exact(values):
    return [mp.mpf(v) for v in values]


def softmax_case(logits, temperature):
    scaled = [v / mp.mpf(temperature) for v in exact(logits)]
    top = max(scaled)
    total = mp.fsum(mp.exp(v - top) for v in scaled)
    shares = [mp.exp(v - top) / total for v in scaled]
    return dict(logits=logits, temperature=temperature, confidence=number(max(shares)),
                entropy=number(-mp.fsum(p * mp.log(p) for p in shares if p > 0)),
                energy=number(mp.mpf(temperature) * (top + mp.log(total))))


def likelihood(logits, columns, labels, temperature):
    rows = [exact(logits[i:i + columns]) for i in range(0, len(logits), columns)]
    total = mp.mpf(0)
    for row, label in zip(rows, labels):
        scaled = [v / mp.mpf(temperature) for v in row]
        top = max(scaled)
        total += mp.log(mp.fsum(mp.exp(v - top) for v in scaled)) + top - scaled[label]
    return total / len(rows)


def temperature_case(logits, columns, labels, minimum=0.01, maximum=100, at_bound=None):
    """With the temperature where the likelihood is smallest, by golden section in log T."""
    low, high = mp.log(mp.mpf(minimum)), mp.log(mp.mpf(maximum))
    if at_bound is None:
        with mp.workdps(60):
            ratio = (mp.sqrt(5) - 1) / 2
            while high - low > mp.mpf(10) ** -18:
                left, right = high - ratio * (high - low), low + ratio * (high - low)
                if likelihood(logits, columns, labels, mp.exp(left)) < likelihood(logits, columns, labels, mp.exp(right)):
                    high = right
                else:
                    low = left
            temperature = mp.exp((low + high) / 2)
    else:
        temperature = mp.mpf(at_bound)
    return dict(logits=logits, columns=columns, labels=labels, minimum=minimum, maximum=maximum, temperature=number(temperature),
                atBound=at_bound is not None, before=number(likelihood(logits, columns, labels, 1)),
                after=number(likelihood(logits, columns, labels, temperature)))


def summary_case(values):
    x = exact(values)
    mean = mp.fsum(x) / len(x)
    return dict(values=values, mean=number(mean), sd=number(mp.sqrt(mp.fsum((v - mean) ** 2 for v in x) / (len(x) - 1))))


def pearson_case(x, y):
    a, b = exact(x), exact(y)
    a, b = [v - mp.fsum(a) / len(a) for v in a], [v - mp.fsum(b) / len(b) for v in b]
    return dict(x=x, y=y, value=number(mp.fdot(a, b) / mp.sqrt(mp.fdot(a, a)) / mp.sqrt(mp.fdot(b, b))))


def matrix_of(rows):
    return mp.matrix([exact(row) for row in rows])


def flat(matrix):
    return [number(matrix[i, j]) for i in range(matrix.rows) for j in range(matrix.cols)]


def cholesky(matrix):
    d = matrix.rows
    lower = mp.matrix(d, d)
    for j in range(d):
        lower[j, j] = mp.sqrt(matrix[j, j] - mp.fsum(lower[j, k] ** 2 for k in range(j)))
        for i in range(j + 1, d):
            lower[i, j] = (matrix[i, j] - mp.fsum(lower[i, k] * lower[j, k] for k in range(j))) / lower[j, j]
    return lower


def square_case(name, rows):
    """Determinant; inverse, Cholesky factor and eigenvalues where they are."""
    matrix = matrix_of(rows)
    determinant = mp.det(matrix)
    case = dict(name=name, rows=rows, sign=int(mp.sign(determinant)),
                logarithm=number(mp.log(abs(determinant))) if determinant != 0 else None)
    scale = max(abs(v) for v in matrix)
    unit = matrix / scale
    if determinant != 0:
        case["inverse"] = flat(unit ** -1 / scale)
    singular = mp.svd_r(unit, compute_uv=False)
    case["singular"] = sorted((number(v * scale) for v in singular), key=lambda v: -v if v is not None else -mp.inf)
    if all(matrix[i, j] == matrix[j, i] for i in range(matrix.rows) for j in range(i)):
        case["eigenvalues"] = [number(v * scale) for v in sorted(mp.eigsy(unit, eigvals_only=True))]
        if all(v > 0 for v in mp.eigsy(unit, eigvals_only=True)):
            case["cholesky"] = flat(cholesky(unit) * mp.sqrt(scale))
    return case


def covariance_case(name, rows, weights=None, ddof=1):
    x = [exact(row) for row in rows]
    w = exact(weights) if weights else [mp.mpf(1)] * len(x)
    total, d = mp.fsum(w), len(x[0])
    mean = [mp.fsum(a * row[j] for a, row in zip(w, x)) / total for j in range(d)]
    value = mp.matrix(d, d)
    for i in range(d):
        for j in range(d):
            value[i, j] = mp.fsum(a * (row[i] - mean[i]) * (row[j] - mean[j]) for a, row in zip(w, x)) / (total - ddof)
    return dict(name=name, rows=rows, weights=weights, ddof=ddof, value=flat(value))


def outside_case(name, rows, kept):
    """Lengths along the first `kept` axes, and the length of the rest."""
    x = [exact(row) for row in rows]
    d = len(x[0])
    length = lambda columns: mp.sqrt(mp.fsum(row[j] ** 2 for row in x for j in columns))
    return dict(name=name, rows=rows, kept=kept, lengths=[number(length([j])) for j in range(kept)],
                outside=number(length(range(kept, d))))


def times(rows, factor):
    return [[v * factor for v in row] for row in rows]


base = [[2.0, 0.5, -0.25], [0.5, 1.0, 0.125], [-0.25, 0.125, 3.0]]
points = [[0.5, 1.0], [1.5, -0.25], [-0.75, 2.0], [0.125, 0.375]]
result = dict(
    softmax=[softmax_case(logits, temperature) for logits, temperature in [
        ([40.0, 0.0, 0.0], 1), ([36.7, 0.0, 0.0], 1), ([28.0, 0.0], 1), ([0.0, -33.0, -60.0], 1), ([700.0, 0.0, 0.0], 1),
        ([740.0, 0.0], 1), ([5.0, 5.0, 5.0], 1), ([5.0, 5.0, -40.0], 1), ([0.0, 0.0, -800.0], 1), ([1.7e308, -1.7e308], 1),
        ([1.7e308, -1.7e308, 0.0], 1e308), ([1e-310, -1e-310], 1), ([1e-310, -1e-310], 1e-310), ([40.0, 0.0], 0.25),
        ([1e-12, 0.0], 1), ([0.0], 1), ([-1.7e308, -1.7e308], 1), ([1.7e308, 1.7e308], 1), ([1.7e308, 1.7e308], 1.7e308)]],
    temperature=[
        temperature_case([2.0, 0.0, 0.0, 1.0, 0.5, 0.0, 0.0, 3.0], 2, [0, 1, 1, 1]),
        temperature_case([2e200, 0.0, 0.0, 1e200, 0.5e200, 0.0, 0.0, 3e200], 2, [0, 1, 1, 1], 1e190, 1e210),
        temperature_case([2e-200, 0.0, 0.0, 1e-200, 0.5e-200, 0.0, 0.0, 3e-200], 2, [0, 1, 1, 1], 1e-210, 1e-190),
        temperature_case([1000.0, 0.0, 0.0, 1000.0], 2, [0, 1], at_bound=0.01),
        temperature_case([1000.0, 0.0, 0.0, 1000.0], 2, [1, 0], at_bound=100),
        temperature_case([1.0, 0.0], 2, [0], minimum=1e-310, at_bound=1e-310),
        temperature_case([1.7e308, -1.7e308], 2, [0], at_bound=0.01),
        temperature_case([40.0, 0.0, 0.0, 0.0, 39.0, 0.0], 3, [0, 1], at_bound=0.01),
    ],
    summary=[summary_case(values) for values in [
        [1e200, -1e200], [1e-200, 3e-200], [5e-324, 5e-324], [1.7e308, 1.6e308, 1.5e308], [1.7e308, -1.7e308], [0.1] * 43,
        [1e308] * 7, [1e-310, 3e-310, 2e-310], [1e154, 2e154, 4e154], [16777216.25, 16777216.5, 16777217.0], [0.0, 0.0, 5e-324, 5e-324]]],
    pearson=[pearson_case(x, y) for x, y in [
        ([1.7e308, -1.7e308, -1.7e308], [1.0, 2.0, 3.0]), ([1e-310, 2e-310, 5e-310], [1e308, 1.5e308, 1e307]),
        ([5e-324, 1e-323, 0.0], [1.0, 2.0, 4.0]), ([1e200, 2e200, 4e200], [1e-200, 3e-200, 2e-200])]],
    square=[square_case(name, rows) for name, rows in [
        ("ordinary", base), ("times 1e300", times(base, 1e300)), ("times 1e-300", times(base, 1e-300)), ("times 1e-310", times(base, 1e-310)),
        ("1e-310 I", [[1e-310, 0.0], [0.0, 1e-310]]), ("1e308 rotation", [[1e308, -1e308], [1e308, 1e308]]),
        ("1e308 of ones and more", [[1.7e308, 1e308], [1e308, 1.7e308]]), ("denormal", [[15e-324, 5e-324], [5e-324, 10e-324]]),
        ("1e308 and 1e-310", [[1e308, 0.0], [0.0, 1e-310]]), ("nearly singular", [[1.0, 1.0], [1.0, 1.0000000000000002]])]],
    covariance=[
        covariance_case("ordinary", points), covariance_case("weights 1e308", points, [1e308, 1.5e308, 1e308, 0.5e308]),
        covariance_case("weights 1e-310", points, [1e-310, 2e-310, 3e-310, 1e-310], 0), covariance_case("times 1e150", times(points, 1e150)),
        covariance_case("times 1e200", times(points, 1e200)), covariance_case("times 1e-150", times(points, 1e-150)),
        covariance_case("equal rows", [[0.1, 1e308]] * 43),
        covariance_case("shifted by 2^24", [[16777216 + a, b - 33554432] for a, b in points])],
    outside=[outside_case(name, rows, 2) for name, rows in [
        ("1e200", [[1e200, 2e200, 3e200], [4e200, -1e200, 2e200]]), ("1e-200", [[1e-200, 2e-200, 3e-200], [4e-200, -1e-200, 2e-200]]),
        ("1e308", [[1e308, 0.0, 1.7e308], [0.0, 1e308, 1e308]]), ("5e-324", [[5e-324, 0.0, 5e-324], [0.0, 1e-323, 5e-324]]),
        ("1 and 1e-200", [[1.0, 0.0, 1e-200], [0.0, 1.0, 2e-200]])]],
)
path = Path(__file__).with_suffix(".json")
path.write_text(json.dumps(result, indent=1).replace("\n    ", " ") + "\n")
print(path, path.stat().st_size)
