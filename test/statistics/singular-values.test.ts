// Singular values of features and of other sets in their basis, against numpy (test/reference/singular_values.py) and planted ones.

import * as fc from "fast-check";
import expected from "../reference/singular_values.json";
import { neuralCollapse, Tensor } from "../../lib";
import { featureSet, set, trained } from "../support/feature-sets";
import { uniform } from "../models/resnet/closed-formula";

const refused = (code: string, message = "") => expect.objectContaining({ code, message: expect.stringContaining(message) });

/** Each to a share of the largest: an SVD, numpy's too, is exact to eps of the largest singular value. */
function expectClose(
  found: ArrayLike<number>,
  wanted: ArrayLike<number>,
  tolerance: number,
  scale = Math.max(...Array.from(wanted)),
): void {
  expect(found.length).toBe(wanted.length);
  for (let i = 0; i < wanted.length; i++) expect(Math.abs((found[i] as number) - (wanted[i] as number))).toBeLessThan(tolerance * scale);
}

describe.each(expected.cases)("$name, centred: $centred, k: $k", (c) => {
  const s = set(c.name);
  const options = { centred: c.centred, k: c.k ?? undefined };

  test("values, rank and what is left out equal numpy's", async () => {
    const found = await neuralCollapse.singularValues(s.features, options);
    expectClose(found.values, c.values, 1e-14);
    expectClose([found.outside], [c.outside], 1e-14, c.values[0]);
    expect(found).toMatchObject({ rank: c.rank, count: s.labels.length });
    expect(found.basis).toMatchObject({ dtype: "float64", shape: [s.dim, c.values.length] });
    expect(found.centre?.shape).toEqual(c.centred ? [s.dim] : undefined);
  });

  test("the queries seen in the basis", async () => {
    const training = await neuralCollapse.singularValues(s.features, options);
    const found = await neuralCollapse.projectedSingularValues(training, s.queries);
    const largest = Math.max(...c.projected.lengths, c.projected.outside);
    // What lies along a direction is as exact as the direction: eps over the gap to its neighbours, 1e-3 and more here. Beyond the rank
    // (features of 60 samples, centred) directions are arbitrary.
    const sure = c.values.filter((v) => v > 1e-12 * (c.values[0] as number)).length;
    expectClose(found.lengths.subarray(0, sure), c.projected.lengths.slice(0, sure), 1e-12, largest);
    if (sure === c.values.length) {
      expectClose(found.values, c.projected.values, 1e-12, largest);
      expectClose([found.outside], [c.projected.outside], 1e-12, largest);
    }
    expect(found.count).toBe(6);
  });

  test("the features themselves, in their own basis, have their singular values as lengths", async () => {
    const training = await neuralCollapse.singularValues(s.features, options);
    const own = await neuralCollapse.projectedSingularValues(training, s.features);
    const largest = training.values[0] as number;
    expectClose(own.lengths, training.values, 1e-13, largest);
    expectClose(own.values, training.values, 1e-13, largest);
    expectClose([own.outside], [training.outside], 1e-13, largest);
  });
});

/** [n, 8] with singular values sizes·√(8n), exactly: Hadamard matrices times powers of two, whose sums float64 holds. */
function planted(n: number, sizes: readonly number[]): { data: Float64Array; shape: number[] } {
  const sign = (i: number, j: number): number => {
    let bits = i & j;
    let parity = 0;
    for (; bits; bits &= bits - 1) parity ^= 1;
    return parity ? -1 : 1;
  };
  const data = new Float64Array(n * 8);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < 8; j++) data[i * 8 + j] = sizes.reduce((sum, size, k) => sum + sign(i, k) * size * sign(k, j), 0);
  }
  return { data, shape: [n, 8] };
}

test("planted values are found down to 1e-13 of the largest, where a Gram matrix keeps none below 1e-8", async () => {
  const sizes = [0, -3, -9, -16, -24, -30, -36, -43].map((power) => 2 ** power);
  const n = 1 << 18; // two pieces
  const { values, rank } = await neuralCollapse.singularValues(planted(n, sizes));
  const wanted = sizes.map((size) => size * Math.sqrt(8 * n));
  expectClose(values, wanted, 8e-14, wanted[0]); // rounding of 2^17 rows a piece: their root times eps, at most
  expect((values[7] as number) / (wanted[7] as number)).toBeCloseTo(1, 1); // 2^-43 is 1e-13: eps of the largest is 1/500 of it
  expect(rank).toBe(6); // max(n, d)·eps = 2^-34
});

test("values do not depend on how the rows are ordered or cut, whatever the number of pieces", async () => {
  const many = featureSet("singular values of many", 3, [150_000, 250_000, 400_000], { offset: 2 });
  const whole = await neuralCollapse.singularValues(many.features, { centred: true });
  const turned = many.features.data.slice();
  for (let i = 0; i < turned.length; i += 3) turned.set(many.features.data.subarray(turned.length - 3 - i, turned.length - i), i);
  const back = await neuralCollapse.singularValues({ data: turned, shape: many.features.shape }, { centred: true });
  expectClose(back.values, whole.values, 1e-13);
  // The squares of centred singular values are the eigenvalues of the scatter, whose trace is the sum of squares.
  const mean = [0, 1, 2].map((j) => many.features.data.reduce((sum, x, i) => (i % 3 === j ? sum + x : sum), 0) / many.labels.length);
  const trace = many.features.data.reduce((sum, x, i) => sum + (x - (mean[i % 3] as number)) ** 2, 0);
  expect(whole.values.reduce((sum, x) => sum + x * x, 0) / trace).toBeCloseTo(1, 11);
});

test("the spread about a far mean is not lost (trap 4)", async () => {
  // Multiples of 2^-20 about 2^20, which a double holds; their mean it does not, by 1e-4 of their spread.
  const [rows, d] = [3000, 4];
  const near = uniform("far mean", rows * d).map((value) => Math.round(8 * value) * 2 ** -20);
  const far = near.map((value) => value + 2 ** 20);
  const wanted = await neuralCollapse.singularValues({ data: near, shape: [rows, d] }, { centred: true });
  const found = await neuralCollapse.singularValues({ data: far, shape: [rows, d] }, { centred: true });
  expectClose(found.values, wanted.values, 1e-13);
});

test("a centred simplex frame of C classes has C − 1 equal singular values, an uncentred one about another point C (Fig. 6)", async () => {
  const [classes, perClass] = [10, 7];
  const data = Float64Array.from({ length: classes * perClass * classes }, (_, i) => {
    const [row, column] = [Math.floor(i / classes), i % classes];
    return row % classes === column ? 1 : 0;
  });
  const features = { data, shape: [classes * perClass, classes] };
  const uncentred = await neuralCollapse.singularValues(features);
  expect(uncentred.rank).toBe(10);
  expectClose(uncentred.values, new Array(10).fill(Math.sqrt(perClass)), 1e-14);
  const centred = await neuralCollapse.singularValues(features, { centred: true });
  expect(centred.rank).toBe(9);
  expectClose(centred.values.subarray(0, 9), new Array(9).fill(Math.sqrt(perClass)), 1e-14);
  expect(centred.values[9]).toBeLessThan(1e-14);
  expect(Array.from(centred.centre?.toArray() as Float64Array, (x) => Math.round(x * 1e12) / 1e12)).toEqual(new Array(10).fill(0.1));
});

test("the basis is orthonormal, each column with its largest entry positive", async () => {
  const s = set("features of a trained network");
  const { basis } = await neuralCollapse.singularValues(s.features, { k: 7 });
  const [d, k] = basis.shape as [number, number];
  const columns = Array.from({ length: k }, (_, j) => Array.from({ length: d }, (_v, i) => (basis.toArray() as Float64Array)[i * k + j]!));
  columns.forEach((a, i) => {
    expect(a.reduce((best, x) => (Math.abs(x) > Math.abs(best) ? x : best))).toBeGreaterThan(0);
    columns.forEach((b, j) => expect(a.reduce((sum, x, t) => sum + x * (b[t] as number), 0)).toBeCloseTo(i === j ? 1 : 0, 14));
  });
});

test("collapsed digits keep to the first directions, clothes do not (features of a trained network)", async () => {
  const features = (name: string) => trained(`${name}.features`) as { data: Float32Array; shape: number[] };
  const training = await neuralCollapse.singularValues(features("train"), { k: 10 });
  const share = async (name: string): Promise<number> => {
    const { outside, lengths } = await neuralCollapse.projectedSingularValues(training, features(name));
    return outside / Math.hypot(outside, ...lengths);
  };
  expect(await share("clothes")).toBeGreaterThan(1.5 * (await share("test")));
});

test("scale goes through, from 1e-8 to 1e8 (property)", async () => {
  const s = set("random");
  const wanted = await neuralCollapse.singularValues(s.features, { centred: true });
  await fc.assert(
    fc.asyncProperty(fc.double({ min: -8, max: 8, noNaN: true }), async (power) => {
      const scale = 10 ** power;
      const found = await neuralCollapse.singularValues(
        { data: s.features.data.map((x) => x * scale), shape: s.features.shape },
        { centred: true },
      );
      expectClose(
        found.values.map((v) => v / scale),
        wanted.values,
        1e-14,
      );
      expect(found.rank).toBe(wanted.rank);
    }),
    { numRuns: 10 },
  );
});

test("refusals", async () => {
  const s = set("random");
  const training = await neuralCollapse.singularValues(s.features);
  const nan = { data: s.features.data.map((x, i) => (i === 42 ? NaN : x)), shape: s.features.shape };
  await expect(neuralCollapse.singularValues(nan)).rejects.toThrow(refused("ERR_NON_FINITE", "row 5"));
  await expect(neuralCollapse.projectedSingularValues(training, nan)).rejects.toThrow(refused("ERR_NON_FINITE", "row 5"));
  await expect(neuralCollapse.singularValues(s.features, { k: 9 })).rejects.toThrow(refused("ERR_RANGE", "k"));
  await expect(neuralCollapse.singularValues(s.features, { k: 0 })).rejects.toThrow(refused("ERR_RANGE", "k"));
  await expect(neuralCollapse.singularValues(s.features, { centered: true } as never)).rejects.toThrow(refused("ERR_OPTION", "centered"));
  await expect(neuralCollapse.singularValues(s.features, { centred: 1 as never })).rejects.toThrow(refused("ERR_OPTION", "centred"));
  await expect(neuralCollapse.singularValues({ data: new Float64Array(0), shape: [0, 8] })).rejects.toThrow(refused("ERR_SHAPE"));
  await expect(neuralCollapse.singularValues({ data: new Float64Array(8), shape: [8] })).rejects.toThrow(refused("ERR_SHAPE"));
  await expect(neuralCollapse.singularValues({ data: new Int32Array(8), shape: [1, 8] })).rejects.toThrow(refused("ERR_DTYPE"));
  await expect(neuralCollapse.singularValues(s.features, { signal: AbortSignal.abort() })).rejects.toThrow(refused("ERR_ABORTED"));
  await expect(neuralCollapse.singularValues(s.features, { device: "cuda:77" })).rejects.toThrow(refused("ERR_DEVICE"));
  const narrow = { data: new Float64Array(7), shape: [1, 7] };
  await expect(neuralCollapse.projectedSingularValues(training, narrow)).rejects.toThrow(refused("ERR_SHAPE", "basis"));
  const skewed = { basis: Tensor.from(new Float64Array(16).fill(1), [8, 2]), centre: undefined };
  await expect(neuralCollapse.projectedSingularValues(skewed, s.queries)).rejects.toThrow(refused("ERR_RANGE", "orthonormal"));
  const spoilt = {
    basis: Tensor.from(
      Float64Array.from({ length: 16 }, (_, i) => (i === 5 ? NaN : 0)),
      [8, 2],
    ),
    centre: undefined,
  };
  await expect(neuralCollapse.projectedSingularValues(spoilt, s.queries)).rejects.toThrow(refused("ERR_NON_FINITE", "basis"));
  const away = { basis: training.basis, centre: Tensor.from(new Float64Array(8).fill(Infinity)) };
  await expect(neuralCollapse.projectedSingularValues(away, s.queries)).rejects.toThrow(refused("ERR_NON_FINITE", "centre"));
  const off = { basis: training.basis, centre: Tensor.from(new Float64Array(3)) };
  await expect(neuralCollapse.projectedSingularValues(off, s.queries)).rejects.toThrow(refused("ERR_SHAPE", "centre"));
  await expect(neuralCollapse.projectedSingularValues({} as never, s.queries)).rejects.toThrow(refused("ERR_OPTION", "basis"));
});
