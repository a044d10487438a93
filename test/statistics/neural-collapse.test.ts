// The neural-collapse numbers against their definitions (test/reference/neural_collapse.py), at exact frames, and as invariants.

import * as fc from "fast-check";
import expected from "../reference/neural_collapse.json";
import { ClassStatistics } from "../../lib/statistics/class-statistics";
import * as neuralCollapse from "../../lib/statistics/neural-collapse";
import { Tensor } from "../../lib/native/tensor";
import { featureSet, set, type FeatureSet } from "../support/feature-sets";

const refused = (code: string, message = "") => expect.objectContaining({ code, message: expect.stringContaining(message) });
const names = ["nc1", "enMeans", "enClassifier", "eaMeans", "eaClassifier", "nc3", "etfDistanceMeans", "etfDistanceClassifier"] as const;
const inputs = (s: FeatureSet) => ({ features: s.features, labels: s.labels, predictions: s.predictions, weight: s.weight });
const relative = (found: number, wanted: number): number => Math.abs(found - wanted) / Math.abs(wanted);
/** What is zero but for rounding (the equinorm number of two classes, say) has no digits to compare. */
const isZero = (x: number): boolean => Math.abs(x) < 3e-15;

function expectClose(found: number, wanted: number, tolerance: number): void {
  if (isZero(wanted)) expect(isZero(found)).toBe(true);
  else expect(relative(found, wanted)).toBeLessThan(tolerance);
}

test("what else an extraction holds may lie beside the features; other options are refused", async () => {
  const options = inputs(set((expected.cases[0] as { name: string }).name));
  const beside = { logits: options.features, precision: "float32", skipped: [], offset: 0 };
  expect(await neuralCollapse.measure({ ...options, ...beside })).toEqual(await neuralCollapse.measure(options));
  await expect(neuralCollapse.measure({ ...options, logit: 1 } as never)).rejects.toEqual(refused("ERR_OPTION", 'unknown option "logit"'));
});

describe.each(expected.cases)("$name", (c) => {
  const s = set(c.name);
  // Centring loses offset/within of the 16 digits in the reference; the pseudoinverse loses the condition number.
  const tolerance = c.name === "collapsed-1e-12" ? 1e-8 : c.name.startsWith("collapsed") ? 1e-9 : 1e-10;

  test("every number equals its definition", async () => {
    const found = await neuralCollapse.measure({ ...inputs(s), variants: true });
    for (const name of names) {
      expectClose(found[name], c.numbers[name], tolerance);
    }
    expect(found.rank).toBe(c.numbers.rank);
    expect(found.nc4).toBe(c.numbers.nc4);
    expect(found.classes).toEqual(c.numbers.classes);
    for (const [name, wanted] of Object.entries(c.numbers.variants)) {
      const value = found.variants?.[name as keyof neuralCollapse.CollapseVariants] as number;
      expectClose(value, wanted, tolerance);
    }
  });

  test("without predictions, those of the linear classifier serve", async () => {
    const { features, labels, weight, bias } = s;
    expect((await neuralCollapse.measure({ features, labels, weight, bias })).nc4).toBe(c.nc4_linear);
  });

  test.each(["full", "pooled"] as const)("six of them from %s statistics", async (scatter) => {
    const statistics = new ClassStatistics({ numClasses: s.numClasses, featureDim: s.dim, scatter });
    await statistics.update(s.features, s.labels);
    const found = await neuralCollapse.measureStatistics({ statistics, weight: s.weight });
    for (const name of names) {
      expectClose(found[name], c.numbers[name], tolerance);
    }
    expect(found.rank).toBe(c.numbers.rank);
    expect(found).not.toHaveProperty("nc4");
    expect(found).not.toHaveProperty("variants");
  });
});

test("a perfect simplex frame gives zeros, also for EA with its printed sign set right (0.222 otherwise)", async () => {
  const classes = 10;
  // The corners of a simplex about the origin, classifier proportional to them, every feature at its mean.
  const corners = Float64Array.from({ length: classes * classes }, (_, i) => (i % (classes + 1) === 0 ? 1 : 0) - 1 / classes);
  const labels = Int32Array.from({ length: 3 * classes }, (_, i) => i % classes);
  const data = Float64Array.from(
    { length: labels.length * classes },
    (_, i) => corners[(((i / classes) | 0) % classes) * classes + (i % classes)] as number,
  );
  const found = await neuralCollapse.measure({
    features: { data, shape: [labels.length, classes] },
    labels,
    predictions: labels,
    weight: { data: corners.map((x) => 7 * x), shape: [classes, classes] },
    variants: true,
  });
  for (const name of names) expect(Math.abs(found[name])).toBeLessThan(1e-14);
  expect(found).toMatchObject({ nc4: 0, rank: classes - 1 });
  expect(found.variants).toMatchObject({ nc4Labels: 0 });
});

test("NC1 does not blow up where the between-class scatter is small (trap 5)", async () => {
  // In float32 with a tiny cut-off the noise in Σ_B's null space once gave 5.7e7. Rank C − 1 = 3 of 64 dimensions, features near 1e-3.
  const s = featureSet("trap 5", 64, [50, 50, 50, 50], { offset: 1e-3, between: 1e-4, within: 1e-6 });
  const single = Tensor.from(Float32Array.from(s.features.data), s.features.shape);
  const exact = await neuralCollapse.measure(inputs(s));
  const found = await neuralCollapse.measure({ ...inputs(s), features: single });
  expect(exact.nc1).toBeGreaterThan(1e-6);
  expect(exact.nc1).toBeLessThan(1e-2);
  expect(relative(found.nc1, exact.nc1)).toBeLessThan(1e-3); // float32 rounding of features of 1e-3 is 1e-4 of their spread
  expect(found.rank).toBe(3);
});

test.each(["random", "collapsed-1e-6", "collapsed-1e-12", "collapsed far from zero"])(
  "%s: without any cut-off the sum of the class means, zero but for rounding, is no direction all the same (trap 5)",
  async (name) => {
    const s = set(name);
    const usual = await neuralCollapse.measure(inputs(s));
    const found = await neuralCollapse.measure({ ...inputs(s), rcond: 0 });
    expect(found.rank).toBe(s.numClasses - 1);
    expect(relative(found.nc1, usual.nc1)).toBeLessThan(1e-9);
  },
);

test("means in a subspace: the rank is found, and its pseudoinverse used", async () => {
  // Six classes whose means lie on a line in five dimensions.
  const s = featureSet("on a line", 5, [20, 20, 20, 20, 20, 20], { between: 0 });
  const data = s.features.data.map((x, i) => x + (s.labels[(i / 5) | 0] as number) * [1, -2, 0.5, 3, 1][i % 5]! * 10);
  const found = await neuralCollapse.measure({ ...inputs(s), features: { data, shape: s.features.shape } });
  // The class means have sampling noise off the line: rank 5 at the default cut-off, rank 1 above the noise.
  expect(found.rank).toBe(5);
  const line = await neuralCollapse.measure({ ...inputs(s), features: { data, shape: s.features.shape }, rcond: 1e-3 });
  expect(line.rank).toBe(1);
  expect(line.nc1).toBeLessThan(found.nc1);
  const exactly = Float64Array.from({ length: 12 * 5 }, (_, i) => (((i / 5) | 0) % 6) + 100 * (i % 5));
  const collapsed = await neuralCollapse.measure({
    features: { data: exactly, shape: [12, 5] },
    labels: Int32Array.from({ length: 12 }, (_, i) => i % 6),
    predictions: Int32Array.from({ length: 12 }, (_, i) => i % 6),
    weight: s.weight,
  });
  expect(collapsed).toMatchObject({ rank: 1, nc1: 0, nc4: 0 });
});

describe("invariance (properties)", () => {
  const s = set("random");
  const base = neuralCollapse.measure(inputs(s));
  const same = async (features: Float64Array, weight: Float64Array) => {
    const wanted = await base;
    const found = await neuralCollapse.measure({
      ...inputs(s),
      features: { data: features, shape: s.features.shape },
      weight: { data: weight, shape: s.weight.shape },
    });
    for (const name of names) expect(relative(found[name], wanted[name])).toBeLessThan(1e-10);
    expect(found).toMatchObject({ nc4: wanted.nc4, rank: wanted.rank });
  };

  test("to the scale of features and classifier, from 1e-8 to 1e8", async () => {
    await fc.assert(
      fc.asyncProperty(fc.double({ min: -8, max: 8, noNaN: true }), fc.double({ min: -8, max: 8, noNaN: true }), async (a, b) => {
        await same(
          s.features.data.map((x) => x * 10 ** a),
          s.weight.data.map((x) => x * 10 ** b),
        );
      }),
      { numRuns: 15 },
    );
  });

  test("to rotation of features and classifier alike", async () => {
    const angle = fc.double({ min: 0, max: 2 * Math.PI, noNaN: true });
    const axes = fc.uniqueArray(fc.integer({ min: 0, max: 7 }), { minLength: 2, maxLength: 2 });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(axes, angle), { minLength: 1, maxLength: 10 }), async (turns) => {
        const rotate = (data: Float64Array): Float64Array => {
          const turned = data.slice();
          for (const [[i, j], t] of turns as [[number, number], number][]) {
            for (let row = 0; row < turned.length; row += 8) {
              const [x, y] = [turned[row + i] as number, turned[row + j] as number];
              turned[row + i] = Math.cos(t) * x - Math.sin(t) * y;
              turned[row + j] = Math.sin(t) * x + Math.cos(t) * y;
            }
          }
          return turned;
        };
        await same(rotate(s.features.data), rotate(s.weight.data));
      }),
      { numRuns: 15 },
    );
  });

  test("to the order of the samples, and to a shift of all features but for NC4's classifier", async () => {
    const order = Array.from(s.labels.keys()).sort((a, b) => ((a * 7919) % 1009) - ((b * 7919) % 1009));
    const data = new Float64Array(s.features.data.length);
    order.forEach((from, to) =>
      data.set(
        s.features.data.subarray(from * 8, from * 8 + 8).map((x) => x + 5),
        to * 8,
      ),
    );
    const found = await neuralCollapse.measure({
      ...inputs(s),
      features: { data, shape: s.features.shape },
      labels: Int32Array.from(order, (i) => s.labels[i] as number),
      predictions: Int32Array.from(order, (i) => s.predictions[i] as number),
    });
    const wanted = await base;
    for (const name of names) expect(relative(found[name], wanted[name])).toBeLessThan(1e-10);
    expect(found.nc4).toBe(wanted.nc4);
  });
});

describe("refusals", () => {
  const s = set("two classes");
  const good = inputs(s);
  const bad = (change: object) => neuralCollapse.measure({ ...good, ...change });
  const withValue = (data: Float64Array, at: number, value: number): Float64Array => data.map((x, i) => (i === at ? value : x));

  test("NaN and infinity (trap 3)", async () => {
    const features = { data: withValue(s.features.data, 4 * 6 + 1, NaN), shape: s.features.shape };
    await expect(bad({ features })).rejects.toThrow(refused("ERR_NON_FINITE", "row 4"));
    await expect(bad({ weight: { data: withValue(s.weight.data, 3, Infinity), shape: s.weight.shape } })).rejects.toThrow(
      refused("ERR_NON_FINITE", "weight"),
    );
    await expect(bad({ bias: { data: Float64Array.of(0, NaN), shape: [2] } })).rejects.toThrow(refused("ERR_NON_FINITE", "bias"));
  });

  test("shapes, dtypes, labels and options", async () => {
    await expect(bad({ labels: s.labels.subarray(1) })).rejects.toThrow(refused("ERR_SHAPE", "labels"));
    await expect(bad({ predictions: s.labels.subarray(1) })).rejects.toThrow(refused("ERR_SHAPE", "predictions"));
    await expect(bad({ bias: { data: new Float64Array(3), shape: [3] } })).rejects.toThrow(refused("ERR_SHAPE", "bias"));
    await expect(bad({ weight: { data: new Float64Array(10), shape: [2, 5] } })).rejects.toThrow(refused("ERR_SHAPE", "weight"));
    await expect(bad({ features: { data: new Float64Array(0), shape: [0, 6] } })).rejects.toThrow(refused("ERR_SHAPE", "features"));
    await expect(bad({ labels: s.labels.map((x) => x + 1) })).rejects.toThrow(refused("ERR_RANGE", "labels"));
    await expect(bad({ predictions: s.labels.map((x) => x - 1) })).rejects.toThrow(refused("ERR_RANGE", "predictions"));
    await expect(bad({ labels: Float64Array.from(s.labels) as never })).rejects.toThrow(refused("ERR_DTYPE", "labels"));
    await expect(bad({ weight: { data: new Float64Array(12), shape: [2, 6] } })).rejects.toThrow(refused("ERR_RANGE", "weight"));
    await expect(bad({ rcond: 2 })).rejects.toThrow(refused("ERR_RANGE", "rcond"));
    await expect(bad({ wieght: 1 })).rejects.toThrow(refused("ERR_OPTION", "wieght"));
    await expect(bad({ predictions: null })).rejects.toThrow(
      refused("ERR_DTYPE", "predictions: expected an array of whole numbers, found null"),
    );
    await expect(bad({ variants: "no" })).rejects.toThrow(refused("ERR_OPTION", "variants: expected true or false"));
    await expect(bad({ signal: AbortSignal.abort() })).rejects.toThrow(refused("ERR_ABORTED"));
    await expect(bad({ device: "cuda:77" })).rejects.toThrow(refused("ERR_DEVICE"));
    await expect(neuralCollapse.measure(undefined as never)).rejects.toThrow(refused("ERR_OPTION"));
  });

  test("one class only, class means at one point, statistics that do not serve", async () => {
    await expect(bad({ labels: new Int32Array(s.labels.length) })).rejects.toThrow(refused("ERR_SHAPE", "classes"));
    const flat = { data: new Float64Array(s.features.data.length).fill(0.1), shape: s.features.shape };
    await expect(bad({ features: flat })).rejects.toThrow(refused("ERR_RANGE", "class means"));
    const statistics = new ClassStatistics({ numClasses: 2, featureDim: 6, scatter: "diagonal" });
    await statistics.update(s.features, s.labels);
    await expect(neuralCollapse.measureStatistics({ statistics, weight: s.weight })).rejects.toThrow(refused("ERR_OPTION", "scatter"));
    await expect(neuralCollapse.measureStatistics({ statistics: 1 as never, weight: s.weight })).rejects.toThrow(refused("ERR_OPTION"));
  });
});
