// Features that are hard on rounding: a row far off, a dimension of large spread, far from zero, collapsed, of huge or tiny scale. Every number
// against 80-digit arithmetic (test/reference/far_features.py).

import { ClassStatistics } from "../../lib/statistics/class-statistics";
import { GaussianMixture, type Covariance } from "../../lib/statistics/gaussian-mixture";
import * as neuralCollapse from "../../lib/statistics/neural-collapse";
import * as scores from "../../lib/scores";
import expected from "../reference/far_features.json";

interface Matrix {
  data: Float32Array | Float64Array;
  shape: [number, number];
}
interface FarSet {
  features: Matrix;
  labels: Int32Array;
  weight: Matrix;
}

const classes = 3;
/** Relative error, beyond the rounding of numbers of about 1. */
function relative(found: number, wanted: number): number {
  const error = Math.abs(found - wanted);
  return error < 1e-15 ? 0 : error / Math.abs(wanted);
}
const refused = (code: string, message: string) => expect.objectContaining({ code, message: expect.stringContaining(message) });
/** Fails with the name of the number. */
function expectBelow(name: string | number, error: number, tolerance: number): void {
  if (!(error < tolerance)) throw new Error(`${name}: off by ${error}, expected less than ${tolerance}`);
}

/** As in the reference: a linear congruential generator, exact in float64. */
function generator(): () => number {
  let state = 1;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32 - 0.5;
}

function make(n: number, d: number, single: boolean, value: (u: () => number, i: number, j: number) => number): FarSet {
  const u = generator();
  const numbers = Array.from({ length: n * d }, (_, i) => value(u, Math.floor(i / d), i % d));
  const data = single ? Float32Array.from(numbers) : Float64Array.from(numbers);
  return {
    features: { data, shape: [n, d] },
    labels: Int32Array.from({ length: n }, (_, i) => i % classes),
    weight: { data: Float64Array.from({ length: classes * d }, u), shape: [classes, d] },
  };
}

const small = (n: number, d: number, single: boolean) => make(n, d, single, (u, i, j) => (i % classes === j ? 4 : 0) + u());

function changed(set: FarSet, change: (x: number, i: number, j: number, row: Matrix["data"]) => number): FarSet {
  const { data, shape } = set.features;
  const columns = shape[1];
  const before = data.slice();
  data.forEach((x, i) => {
    const row = Math.floor(i / columns);
    data[i] = change(x, row, i % columns, before.subarray(row * columns, (row + 1) * columns));
  });
  return set;
}

const farRow = (value: number, single: boolean) => changed(small(90, 8, single), (x, i) => (i === 0 ? value : x));
const offset = (mean: number, spread: number) => changed(small(60, 6, false), (x) => mean + spread * x);
const collapsed = (size: number) => changed(small(60, 6, false), (x, i, j) => (i % classes === j ? 1 : 0) + size * x);
const largeDimension = (sign: (i: number, row: Matrix["data"]) => number) =>
  changed(small(90, 8, true), (x, i, j, row) => (j === 5 ? 5e5 * sign(i, row) + x : x));

const sets: Record<string, () => FarSet> = {
  "far-row-1e5": () => farRow(1e5, true),
  "far-row-2e6": () => farRow(2e6, true),
  "far-row-3e6": () => farRow(3e6, true),
  "far-row-2e6-double": () => farRow(2e6, false),
  "large-dimension": () => largeDimension((_, row) => ((row[7] as number) > 0 ? 1 : -1)),
  "large-dimension-balanced": () => largeDimension((i) => (Math.floor(i / 3) % 2 === 0 ? 1 : -1)),
  grid: () => make(90, 4, false, (u, i, j) => Math.round(64 * (u() + u() + (i % classes === j ? 1 : 0))) / 2 ** 26),
  "collapsed-1e-9": () => collapsed(1e-9),
  "collapsed-1e-12": () => collapsed(1e-12),
  "mean-1e6": () => offset(1e6, 1e-3),
  "mean-1e8": () => offset(1e8, 1e-3),
};

function scaled(set: FarSet, factor: number): FarSet {
  return { ...set, features: { ...set.features, data: Float64Array.from(set.features.data, (x) => x * factor) } };
}

function shifted(set: FarSet, distance: number): FarSet {
  return { ...set, features: { ...set.features, data: Float64Array.from(set.features.data, (x) => x + distance) } };
}

async function statisticsOf({ features, labels }: FarSet, scatter: "full" | "pooled" = "full"): Promise<ClassStatistics> {
  const statistics = new ClassStatistics({ numClasses: classes, featureDim: features.shape[1], scatter });
  await statistics.update(features, labels);
  return statistics;
}

/** Row 1, whose log density and distances are compared. */
const query = ({ features }: FarSet): Matrix => {
  const columns = features.shape[1];
  return { data: features.data.slice(columns, 2 * columns), shape: [1, columns] };
};

async function logDensity(set: FarSet, covariance: Covariance): Promise<number> {
  const mixture = await GaussianMixture.fit(set.features, set.labels, { covariance });
  return (await mixture.logDensity(query(set)))[0] as number;
}

const numbers = ["nc1", "enMeans", "enClassifier", "eaMeans", "eaClassifier", "nc3", "etfDistanceMeans", "etfDistanceClassifier"] as const;
const terms = ["nc1", "enMeans", "enClassifier", "eaMeans", "eaClassifier", "nc3"] as const;

describe.each(expected.cases)("$name", (wanted) => {
  const set = (sets[wanted.name] as () => FarSet)();
  const unequal = wanted.name.startsWith("far-row") || wanted.name.startsWith("large");

  test("collapse numbers from features", async () => {
    const found = await neuralCollapse.measure(set);
    for (const name of numbers) expectBelow(name, relative(found[name], wanted[name]), 1e-9);
  });

  test("the terms of the loss", async () => {
    const found = (await neuralCollapse.loss(set)).terms;
    for (const name of terms) expectBelow(name, relative(found[name], wanted[name]), 1e-9);
  });

  // A scatter holds its digits to eps of its largest entries; NC1 is about variances that are 1 beside 1e10 to 1e13 there.
  test.each(["full", "pooled"] as const)("collapse numbers from %s statistics", async (scatter) => {
    const found = await neuralCollapse.measureStatistics({ statistics: await statisticsOf(set, scatter), weight: set.weight });
    for (const name of numbers) {
      expectBelow(name, relative(found[name], wanted[name]), name === "nc1" && unequal ? 1e-4 : 1e-9);
    }
  });

  // One row 1e5 off: variances of 1e10 and of 0.1 in one matrix, of which float64 holds the small ones to 1e-5.
  const tolerance = wanted.name === "far-row-1e5" ? 1e-4 : 1e-9;
  // Beyond that they are singular for float64, and jitter decides. So is, under collapse, the covariance regardless of class.
  const singular = wanted.name.startsWith("far-row") && wanted.name !== "far-row-1e5";

  test.each(["full", "tied", "diagonal"] as const)("log density, %s", async (covariance) => {
    if (singular && covariance !== "diagonal") {
      const mixture = await GaussianMixture.fit(set.features, set.labels, { covariance });
      expect(mixture.warnings.join()).toMatch(/added to (the|its) diagonal/);
    } else {
      expectBelow(covariance, relative(await logDensity(set, covariance), wanted[covariance]), tolerance);
    }
  });

  test.each([
    ["mahalanobis", "mahalanobis"],
    ["relative-mahalanobis", "relativeMahalanobis"],
  ] as const)("%s", async (name, key) => {
    const { features, labels } = set;
    const score = await scores.fit(name, { features, labels });
    if (singular || (name === "relative-mahalanobis" && wanted.name.startsWith("collapsed"))) {
      expect(score.warnings.join()).toMatch(/added to (the|its) diagonal/);
    } else {
      expectBelow(name, relative((await score.score({ features: query(set) }))[0] as number, wanted[key]), tolerance);
    }
  });

  test("covariance regardless of class", async () => {
    const [variance, covariance] = (await (await statisticsOf(set)).covariance({ of: "global" })).toArray() as Float64Array;
    expect(relative(variance as number, wanted.globalVariance)).toBeLessThan(1e-12);
    expect(Math.abs((covariance as number) - wanted.globalCovariance)).toBeLessThan(1e-12 * wanted.globalVariance);
  });
});

describe("invariance", () => {
  const covariances: readonly Covariance[] = ["full", "tied", "diagonal", "ledoit-wolf", "oas"];
  const everything = async (set: FarSet) => {
    const { features, labels, weight } = set;
    const statistics = await statisticsOf(set);
    const measured = await neuralCollapse.measure({ ...set, predictions: labels });
    const read = await neuralCollapse.measureStatistics({ statistics, weight });
    const mixtures = await Promise.all(covariances.map((covariance) => GaussianMixture.fit(features, labels, { covariance })));
    const score = async (name: "mahalanobis" | "relative-mahalanobis") =>
      (await (await scores.fit(name, { features, labels })).score({ features: query(set) }))[0] as number;
    return {
      collapse: [...numbers.map((name) => measured[name]), ...numbers.map((name) => read[name]), measured.nc4, measured.rank],
      lossTerms: Object.values((await neuralCollapse.loss(set)).terms) as number[],
      densities: await Promise.all(mixtures.map(async (mixture) => (await mixture.logDensity(query(set)))[0] as number)),
      shrinkage: mixtures.flatMap((mixture) => [...mixture.shrinkage]),
      mahalanobis: [await score("mahalanobis"), await score("relative-mahalanobis")],
    };
  };
  const expectSame = (name: string, found: readonly number[], wanted: readonly number[], tolerance: number) => {
    expect(found).toHaveLength(wanted.length);
    found.forEach((x, i) => {
      const y = wanted[i] as number;
      expectBelow(`${name} ${i}`, relative(x, y), tolerance);
    });
  };

  test.each([2 ** 24, 2 ** 25, -(2 ** 25)])("a shift by %d of rows that float64 holds exactly changes nothing", async (distance) => {
    const set = (sets.grid as () => FarSet)();
    const [near, far] = [await everything(set), await everything(shifted(set, distance))];
    for (const key of ["collapse", "lossTerms", "densities", "shrinkage", "mahalanobis"] as const)
      expectSame(key, far[key], near[key], 1e-9);
  });

  test.each([300, -300, 260, -260, 450, -450])("a scale of 2^%d changes nothing", async (power) => {
    const set = small(90, 8, false);
    const factor = 2 ** power;
    const [near, far] = [await everything(set), await everything(scaled(set, factor))];
    for (const key of ["collapse", "lossTerms", "shrinkage", "mahalanobis"] as const) expectSame(key, far[key], near[key], 1e-12);
    const moved = 8 * power * Math.LN2; // the density is per unit of volume
    expectSame(
      "densities",
      far.densities,
      near.densities.map((x) => x - moved),
      1e-11,
    );
  });
});

describe("squares that float64 does not hold are refused", () => {
  test.each([1e160, 1e308])("too large: %d", async (factor) => {
    const set = scaled(small(90, 8, false), factor / 5);
    await expect((await statisticsOf(set)).counts()).rejects.toEqual(refused("ERR_RANGE", "1e150"));
    await expect(GaussianMixture.fit(set.features, set.labels)).rejects.toEqual(refused("ERR_RANGE", "1e150"));
    await expect(neuralCollapse.loss(set)).rejects.toMatchObject({ code: "ERR_RANGE" });
    // What is invariant to scale is measured all the same, as long as differences of features can be formed.
    const found = await neuralCollapse.measure({ ...set, predictions: set.labels });
    expect(relative(found.nc1, (await neuralCollapse.measure(small(90, 8, false))).nc1)).toBeLessThan(1e-12);
  });

  test("too small", async () => {
    const set = scaled(small(90, 8, false), 1e-200);
    await expect((await statisticsOf(set)).counts()).rejects.toEqual(refused("ERR_RANGE", "1e-140"));
    expect(relative((await neuralCollapse.measure(set)).nc1, (await neuralCollapse.measure(small(90, 8, false))).nc1)).toBeLessThan(1e-12);
  });

  test("a merge of statistics far apart", async () => {
    const [one, other] = [await statisticsOf(small(90, 8, false)), await statisticsOf(shifted(small(90, 8, false), 1e170))];
    const before = await one.counts();
    await expect(one.merge(other)).rejects.toEqual(refused("ERR_RANGE", "1e150"));
    expect(await one.counts()).toEqual(before);
  });
});

describe("classes without variance", () => {
  const equalRows = (value: number, n: number) =>
    make(2 * n, 3, false, (_, i, j) => (i % classes === 1 ? value : Math.sin((i * 3 + j) * 7.3)));

  test.each([0.1, 0.3, 1 / 3, 123456.789])("rows of %d: no rounding counts as variance", async (value) => {
    const { features, labels } = equalRows(value, 43);
    const statistics = await statisticsOf({ features, labels, weight: features });
    expect([...((await statistics.covariance({ of: 1 })).toArray() as Float64Array)]).toEqual(new Array(9).fill(0));
    for (const covariance of ["full", "diagonal", "ledoit-wolf", "oas"] as const) {
      const mixture = await GaussianMixture.fit(features, labels, { covariance, prior: "none" });
      expect(mixture.jitter[1]).toBeGreaterThan(1e-17); // in proportion to the other classes' variance
    }
  });

  test("in one class alone they throw", async () => {
    const features = { data: new Float64Array(6).fill(0.1), shape: [3, 2] };
    await expect(GaussianMixture.fit(features, [0, 0, 0])).rejects.toMatchObject({ code: "ERR_NOT_POSITIVE_DEFINITE" });
  });
});

describe("class means without an angle", () => {
  const symmetric = (sign: number) => ({
    features: { data: Float64Array.of(-1, -1.1, 0.05, -0.05, 1, 1.1).map((x) => sign * x), shape: [6, 1] },
    labels: [0, 0, 1, 1, 2, 2],
    weight: { data: Float64Array.of(1, 2, 3), shape: [3, 1] },
  });

  test("a class mean at the mean of the class means is refused by name", async () => {
    for (const set of [symmetric(1), symmetric(-1)]) {
      await expect(neuralCollapse.measure(set)).rejects.toEqual(refused("ERR_RANGE", "class 1"));
      await expect(neuralCollapse.loss(set)).rejects.toEqual(refused("ERR_RANGE", "no angle"));
    }
  });

  test("so is one that rounding alone keeps from it", async () => {
    // Means of 0.1, 0.2 and 0.3 and like coordinates: 0.2 is not exactly the mean of the three.
    const rows = [0.1, 0.2, 0.3].flatMap((x) => [x - 0.01, x + 0.01, x * 3, x * 3]);
    const set = {
      features: { data: Float64Array.from(rows), shape: [6, 2] },
      labels: [0, 0, 1, 1, 2, 2],
      weight: { data: Float64Array.of(1, 2, 3, 4, 5, 7), shape: [3, 2] },
    };
    await expect(neuralCollapse.measure(set)).rejects.toEqual(refused("ERR_RANGE", "class 1"));
    await expect(neuralCollapse.loss(set)).rejects.toMatchObject({ code: "ERR_RANGE" }); // they lie on a line, too
  });
});

describe("without a classifier", () => {
  const { features, labels, weight } = small(90, 8, false);

  test("the numbers of the means are those with one, the others are left out", async () => {
    const whole = await neuralCollapse.measure({ features, labels, weight, predictions: labels, variants: true });
    const { enClassifier, eaClassifier, nc3, etfDistanceClassifier, variants, ...rest } = whole;
    expect([enClassifier, eaClassifier, nc3, etfDistanceClassifier].every(Number.isFinite)).toBe(true);
    const { enMeansDdof0, nc1OverClasses, nc4Labels } = variants as neuralCollapse.CollapseVariants;
    const found = await neuralCollapse.measure({ features, labels, predictions: labels, variants: true });
    expect(found).toEqual({ ...rest, variants: { enMeansDdof0, nc1OverClasses, nc4Labels } });
    const statistics = await statisticsOf({ features, labels, weight });
    expect(await neuralCollapse.measureStatistics({ statistics })).not.toHaveProperty("nc3");
  });

  test("without predictions either there is no NC4", async () => {
    expect((await neuralCollapse.measure({ features, labels })).nc4).toBeUndefined();
  });

  test("a bias alone is refused", async () => {
    const options = { features, labels, bias: { data: new Float64Array(3), shape: [3] } };
    await expect(neuralCollapse.measure(options as never)).rejects.toEqual(refused("ERR_OPTION", "weight"));
  });
});
