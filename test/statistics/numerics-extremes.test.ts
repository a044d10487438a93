// Metrics, linear algebra and singular values at the edges of float64, against 700-digit arithmetic (test/reference/extreme_numbers.py).

import { linalg, metrics, neuralCollapse, Tensor } from "../../lib";
import expected from "../reference/extreme_numbers.json";

const epsilon = Number.EPSILON;
const overflow = expect.objectContaining({ code: "ERR_RANGE" });

/** To `tolerance` relative to `size`, or to a few steps of the denormal numbers. */
function expectNear(found: number, wanted: number, tolerance: number, size = Math.abs(wanted)): void {
  if (Math.abs(found - wanted) > tolerance * size + 2 * Number.MIN_VALUE) expect(found).toBe(wanted);
}

function expectAllNear(found: Tensor | Float64Array, wanted: readonly (number | null)[], tolerance: number, size?: number): void {
  const values = "toArray" in found ? (found.toArray() as Float64Array) : found;
  expect(values).toHaveLength(wanted.length);
  values.forEach((value, i) => expectNear(value, wanted[i] as number, tolerance, size));
}

const matrixOf = (rows: readonly number[][]) => ({ data: Float64Array.from(rows.flat()), shape: [rows.length, rows[0]?.length ?? 0] });
const beyond = (wanted: readonly (number | null)[]): boolean => wanted.includes(null);

describe.each(expected.softmax)("logits $logits at temperature $temperature", ({ logits, temperature, confidence, entropy, energy }) => {
  const matrix = { data: logits, shape: [1, logits.length] };
  test("confidence, entropy and energy keep their digits", () => {
    expectNear(metrics.softmaxConfidence(matrix, { temperature })[0] as number, confidence, 4 * epsilon);
    // Rounding of a logit over the temperature comes back as relative rounding of its share.
    const widest = Math.min(745, (Math.max(...logits) / 2 - Math.min(...logits) / 2) / (temperature / 2));
    const found = metrics.softmaxEntropy(matrix, { temperature })[0] as number;
    const denormal = widest * Number.MIN_VALUE; // a share below 2.2e-308 has few digits
    expect(Math.abs(found - entropy)).toBeLessThanOrEqual((4 + widest) * epsilon * entropy + denormal);
    if (energy === null) expect(() => metrics.energy(matrix, { temperature })).toThrow(overflow);
    else expectNear(metrics.energy(matrix, { temperature })[0] as number, energy, 4 * epsilon);
  });
});

test.each(expected.temperature)("temperature $temperature for logits $logits, labels $labels", (c) => {
  const { minimum, maximum } = c;
  const fit = metrics.fitTemperature({ data: c.logits, shape: [c.labels.length, c.columns] }, c.labels, { minimum, maximum });
  expectNear(fit.temperature, c.temperature, 1e-9); // where the slope is rounding noise
  expect(fit.atBound).toBe(c.atBound);
  expectNear(fit.nllBefore, c.before, 1e-13);
  expectNear(fit.nllAfter, c.after, 1e-13);
});

test("a likelihood beyond float64 is an error", () => {
  expect(() => metrics.fitTemperature({ data: [1.7e308, -1.7e308], shape: [1, 2] }, [1])).toThrow(overflow);
});

test.each(expected.summary)("summary of $values", ({ values, mean, sd }) => {
  if (sd === null) {
    expect(() => metrics.summary(values)).toThrow(overflow);
    return;
  }
  const found = metrics.summary(values);
  expectNear(found.mean, mean, 2 * epsilon, Math.max(...values.map(Math.abs)));
  expectNear(found.sd, sd, 1e-14);
  expect(found).toMatchObject({ min: Math.min(...values), max: Math.max(...values) });
});

test.each(expected.pearson)("correlation of $x and $y", ({ x, y, value }) => expectNear(metrics.pearson(x, y), value, 1e-14));

describe.each(expected.square)("matrix $name", (c) => {
  const matrix = matrixOf(c.rows);
  const { length } = c.rows;
  const largest = Math.max(...c.singular.map((value) => value ?? Number.MAX_VALUE));
  const least = Math.min(...c.singular.map((value) => value ?? Infinity));

  test("log determinant", async () => {
    const { sign, logarithm } = await linalg.logdet(matrix);
    expect(sign[0]).toBe(c.sign);
    expectNear(logarithm[0] as number, c.logarithm, 2e-15, Math.abs(c.logarithm) + length * (largest / least) * 0.1);
  });

  test("singular values, and eigenvalues where it is symmetric", async () => {
    if (beyond(c.singular)) await expect(linalg.svdvals(matrix)).rejects.toThrow(overflow);
    else expectAllNear(await linalg.svdvals(matrix), c.singular, 8 * epsilon, largest);
    if (c.eigenvalues === undefined) return;
    if (beyond(c.eigenvalues)) await expect(linalg.eigh(matrix)).rejects.toThrow(overflow);
    else expectAllNear((await linalg.eigh(matrix)).values, c.eigenvalues, 8 * epsilon, largest);
  });

  test("pseudoinverse", async () => {
    if (c.inverse === undefined || least < 2 * length * epsilon * largest) return; // the least singular value counts as zero
    for (const hermitian of c.eigenvalues === undefined ? [false] : [false, true]) {
      if (beyond(c.inverse)) await expect(linalg.pinv(matrix, { hermitian })).rejects.toThrow(overflow);
      else expectAllNear(await linalg.pinv(matrix, { hermitian }), c.inverse, 16 * epsilon, 1 / least);
    }
  });

  test("Cholesky factor", async () => {
    if (c.cholesky === undefined) return;
    const { factor, jitter } = await linalg.cholesky(matrix);
    // Denormal entries have fewer digits: those of the smallest diagonal entry.
    const rounding = Math.max(8 * epsilon, (4 * Number.MIN_VALUE) / Math.min(...c.rows.map((row, i) => row[i] as number)));
    expectAllNear(factor, c.cholesky, c.name === "nearly singular" ? 1e-8 : rounding, Math.max(...c.cholesky));
    expect(jitter[0]).toBe(0);
  });
});

test.each(expected.covariance)("covariance, $name", async ({ rows, weights, ddof, value }) => {
  const options = { ddof, weights: weights === null ? undefined : { data: Float64Array.from(weights), shape: [weights.length] } };
  if (beyond(value)) await expect(linalg.covariance(matrixOf(rows), options)).rejects.toThrow(overflow);
  else expectAllNear(await linalg.covariance(matrixOf(rows), options), value, 8 * epsilon);
});

test.each(expected.outside)("projected singular values, $name", async ({ rows, kept, lengths, outside }) => {
  const d = rows[0]?.length as number;
  const axes = Float64Array.from({ length: d * kept }, (_, i) => +(Math.floor(i / kept) === i % kept));
  const basis = { data: axes, shape: [d, kept] };
  const found = neuralCollapse.projectedSingularValues({ basis: Tensor.from(basis.data, basis.shape), centre: undefined }, matrixOf(rows));
  if (outside === null) {
    await expect(found).rejects.toThrow(overflow);
    return;
  }
  expectAllNear((await found).lengths, lengths, 8 * epsilon);
  expectNear((await found).outside, outside, 8 * epsilon);
});

describe("a jitter that takes the diagonal beyond its dtype is refused", () => {
  test("float64", async () => {
    const matrix = { data: Float64Array.of(1e308, 0, 0, 1), shape: [2, 2] };
    await expect(linalg.cholesky(matrix, { jitter: 1e308 })).rejects.toThrow(overflow);
    const { factor } = await linalg.cholesky({ data: Float64Array.of(1, 0, 0, 4), shape: [2, 2] }, { jitter: 1e308 });
    expectAllNear(factor, [1e154, 0, 0, 1e154], 4 * epsilon);
  });
  test("float32", async () => {
    const matrix = { data: Float32Array.of(1, 0, 0, 1), shape: [2, 2] };
    await expect(linalg.cholesky(matrix, { jitter: 1e308 })).rejects.toThrow(overflow);
    await expect(linalg.pinv({ data: Float32Array.of(1e-40), shape: [1, 1] })).rejects.toThrow(overflow);
    await expect(linalg.svdvals({ data: new Float32Array(4).fill(3e38), shape: [2, 2] })).rejects.toThrow(overflow);
  });
});

describe("weights of any scale", () => {
  const rows = { data: Float64Array.of(1, 2, 5, 7, 8), shape: [5, 1] };
  const labels = [0, 0, 0, 1, 1];
  const weights = { data: Float64Array.of(1e-300, 1e-300, 1e-300, 1e300, 1e300), shape: [5] };
  test("each class in units of its own", async () => {
    expectAllNear(await linalg.covariance(rows, { labels, weights, ddof: 0, of: "classes" }), [26 / 9, 0.25], 4 * epsilon);
    expectAllNear(await linalg.covariance(rows, { labels, weights, ddof: 0, of: "pooled" }), [0.25], 4 * epsilon);
  });
  test("null is refused, not taken for none", async () => {
    await expect(linalg.covariance(rows, { weights: null as never })).rejects.toMatchObject({ code: "ERR_OPTION" });
    await expect(linalg.covariance(rows, { labels: null as never, of: "pooled" })).rejects.toMatchObject({ code: "ERR_DTYPE" });
  });
});

describe("triangles that differ by rounding: the mean of the two", () => {
  const single = { data: Float32Array.of(1e6, 50, 100, 1e6), shape: [2, 2] };
  test("eigh, cholesky and pinv alike", async () => {
    const mean = { data: Float32Array.of(1e6, 75, 75, 1e6), shape: [2, 2] };
    expect((await linalg.eigh(single)).values.toArray()).toEqual(Float32Array.of(999925, 1000075));
    expect((await linalg.cholesky(single)).factor.toArray()).toEqual((await linalg.cholesky(mean)).factor.toArray());
    const inverse = (await linalg.pinv(single, { hermitian: true })).toArray();
    expect(inverse).toEqual((await linalg.pinv(mean, { hermitian: true })).toArray());
  });
  test("in a batch, one beside the other", async () => {
    const batch = { data: Float32Array.of(...single.data, 2, 0, 0, 1), shape: [2, 2, 2] };
    expect((await linalg.eigh(batch)).values.toArray()).toEqual(Float32Array.of(999925, 1000075, 1, 2));
  });
});
