// The neural-collapse loss and its gradients against PyTorch's autograd over the definitions (test/reference/collapse_loss.py), against
// finite differences and the numbers that are measured, at exact frames, and as invariants.

import { loss, measure } from "../../lib/statistics/neural-collapse";
import { Tensor } from "../../lib/native/tensor";
import { featureSet } from "../support/feature-sets";
import expected from "../reference/collapse_loss.json";
import { uniform } from "../models/resnet/closed-formula";

type Matrix = { data: Float64Array; shape: [number, number] };
interface Batch {
  features: Matrix;
  labels: Int32Array;
  weight: Matrix;
}

const names = ["nc1", "enMeans", "enClassifier", "eaMeans", "eaClassifier", "nc3"] as const;
const matrix = (data: Float64Array, columns: number): Matrix => ({ data, shape: [data.length / columns, columns] });
const plain = ({ features, labels, weight }: Batch): Batch => ({ features, labels, weight });
const refused = (code: string, message = "") => expect.objectContaining({ code, message: expect.stringContaining(message) });

function frame({ name, dim, counts, within }: (typeof expected.frames)[number]): Batch {
  const classes = counts.length;
  const rounds = Array.from({ length: Math.max(...counts) }, (_, k) => counts.flatMap((count, c) => (k < count ? [c] : [])));
  const labels = Int32Array.from(rounds.flat());
  const features = uniform(`${name}.noise`, labels.length * dim).map(
    (r, i) => (labels[Math.floor(i / dim)] === i % dim ? 1 : 0) + within * r,
  );
  const ideal = (c: number, j: number) => (j === c ? 1 : 0) - (j < classes ? 1 / classes : 0);
  const weight = uniform(`${name}.weight`, classes * dim).map((r, i) => ideal(Math.floor(i / dim), i % dim) + within * r);
  return { features: matrix(features, dim), labels, weight: matrix(weight, dim) };
}

const cases = [
  ...expected.sets.map((c) => ({ ...c, batch: plain(featureSet(c.name, c.dim, c.counts, c.recipe)) })),
  ...expected.frames.map((c) => ({ ...c, batch: frame(c) })),
];

function batch(name: string): Batch {
  return (cases.find((c) => c.name === name) as (typeof cases)[number]).batch;
}

/** The largest difference, relative to the largest entry. */
function difference(found: ArrayLike<number>, wanted: readonly number[]): number {
  expect(found).toHaveLength(wanted.length);
  const size = Math.max(...wanted.map(Math.abs));
  return Math.max(...wanted.map((value, i) => Math.abs((found[i] as number) - value))) / size;
}

/** To 1e-8; what is zero but for rounding (two means are equally far from their mean) has no digits to compare. */
function expectClose(found: number, wanted: number): void {
  const isZero = (x: number): boolean => Math.abs(x) < 3e-15;
  if (isZero(wanted)) expect(isZero(found)).toBe(true);
  else expect(Math.abs(found / wanted - 1)).toBeLessThan(1e-8);
}

const gradientsOf = async (given: Batch): Promise<[features: number[], weight: number[]]> => {
  const { features, weight } = (await loss(given)).gradients;
  return [[...(features.toArray() as Float64Array)], [...(weight.toArray() as Float64Array)]];
};

describe.each(cases)("$name", (c) => {
  test("terms, value and gradients equal PyTorch's", async () => {
    const { value, terms, gradients } = await loss(c.batch);
    expect(Object.keys(terms)).toEqual(names);
    for (const name of names) {
      expectClose(terms[name], c.terms[name]);
    }
    expect(Math.abs(value / c.value - 1)).toBeLessThan(1e-8);
    expect(gradients.features.shape).toEqual(c.batch.features.shape);
    expect(gradients.weight.shape).toEqual(c.batch.weight.shape);
    expect(difference(gradients.features.toArray() as Float64Array, c.gradients.features)).toBeLessThan(1e-8);
    expect(difference(gradients.weight.toArray() as Float64Array, c.gradients.weight)).toBeLessThan(1e-8);
  });

  test("the terms are the numbers that measure gives", async () => {
    const { terms } = await loss(c.batch);
    const measured = await measure(c.batch);
    for (const name of names) expectClose(terms[name], measured[name]);
  });
});

test("the gradient is the slope: central differences along a random direction", async () => {
  const { features, labels, weight } = batch("missing classes");
  const [byFeatures, byWeight] = await gradientsOf({ features, labels, weight });
  const step = 1e-5;
  const [u, v] = [uniform("direction of features", features.data.length), uniform("direction of weight", weight.data.length)];
  const dot = (a: readonly number[], b: Float64Array) => a.reduce((sum, x, i) => sum + x * (b[i] as number), 0);
  const at = async (t: number): Promise<number> => {
    const along = (m: Matrix, direction: Float64Array) => ({ ...m, data: m.data.map((x, i) => x + t * (direction[i] as number)) });
    return (await loss({ features: along(features, u), labels, weight: along(weight, v) })).value;
  };
  const slope = ((await at(step)) - (await at(-step))) / (2 * step);
  expect(slope / (dot(byFeatures, u) + dot(byWeight, v))).toBeCloseTo(1, 7); // error of third order in the step, rounding 1e-16/step
});

test("at an exact frame the value is zero and the gradient finite", async () => {
  const classes = 10;
  const labels = Int32Array.from({ length: 3 * classes }, (_, i) => i % classes);
  const entry = (i: number, j: number) => (i === j ? 1 : 0) - 1 / classes;
  const weight = matrix(
    Float64Array.from({ length: classes * classes }, (_, i) => entry(Math.floor(i / classes), i % classes)),
    classes,
  );
  const features = matrix(
    Float64Array.from([...labels].flatMap((label) => Array.from({ length: classes }, (_, j) => 7 * entry(label, j)))),
    classes,
  );
  const { value, gradients } = await loss({ features, labels, weight });
  expect(value).toBeLessThan(1e-13);
  for (const g of Object.values(gradients)) expect((g.toArray() as Float64Array).every(Number.isFinite)).toBe(true);
});

test("the order of the samples, a shift of the features and the scales of features and weight do not matter", async () => {
  const given = batch("random");
  const { value } = await loss(given);
  const { features, labels, weight } = given;
  const [rows, dim] = features.shape;
  const order = Array.from({ length: rows }, (_, i) => (7 * i) % rows);
  const moved = Float64Array.from(order.flatMap((i) => [...features.data.subarray(i * dim, (i + 1) * dim)].map((x, j) => 5 * x + j)));
  const scaled = { ...weight, data: weight.data.map((w) => w / 3) };
  const again = await loss({
    features: matrix(moved, dim),
    labels: labels.map((_, i) => labels[order[i] as number] as number),
    weight: scaled,
  });
  expect(again.value / value).toBeCloseTo(1, 12);
});

test("a class without samples has a zero row in the gradient of the weight, and its weight does not matter", async () => {
  const given = batch("missing classes");
  const other = { ...given.weight, data: given.weight.data.map((w, i) => (Math.floor(i / 10) === 1 ? 100 * w : w)) };
  expect((await loss({ ...given, weight: other })).value).toBe((await loss(given)).value);
  const [, weight] = await gradientsOf(given);
  for (const c of [1, 4]) expect(weight.slice(10 * c, 10 * c + 10)).toEqual(new Array(10).fill(0));
  expect(weight.slice(0, 10).every((x) => x !== 0)).toBe(true);
});

test("float32 features are taken as they are: the loss of the same numbers in float64", async () => {
  const given = batch("random");
  const single = Float32Array.from(given.features.data);
  const wide = await loss({ ...given, features: matrix(Float64Array.from(single), 12) });
  const narrow = await loss({ ...given, features: Tensor.from(single, given.features.shape) });
  expect(narrow.value).toBe(wide.value);
  expect(narrow.gradients.features.dtype).toBe("float64");
});

test.each([1e-6, 1e-10, 1e-13])("within-class deviations of %p keep their digits", async (within) => {
  const labels = Int32Array.from({ length: 120 }, (_, i) => i % 3);
  const centres = uniform("collapsed.centres", 18);
  const features = matrix(
    uniform("collapsed.noise", 720).map((r, i) => (centres[((Math.floor(i / 6) % 3) * 6 + (i % 6)) as number] as number) + within * r),
    6,
  );
  const weight = matrix(uniform("collapsed.weight", 18), 6);
  const [found, wanted] = [await loss({ features, labels, weight }), await measure({ features, labels, weight })];
  expect(Math.abs(found.terms.nc1 / wanted.nc1 - 1)).toBeLessThan(1e-11);
});

describe("refused", () => {
  const given = batch("random");
  const changed = (m: Matrix, from: number, to: number, value: number) => ({
    ...m,
    data: m.data.map((x, i) => (i >= from && i < to ? value : x)),
  });
  const simplex = matrix(Float64Array.of(0, 0, 0, 1, 0, 0, 2, 0, 0, 4, 0, 0), 3);
  test.each<[string, () => Partial<Batch>, string, string]>([
    ["one class", () => ({ labels: given.labels.map(() => 2) }), "ERR_SHAPE", "labels: expected samples of at least 2 classes, found 1"],
    ["a label too large", () => ({ labels: given.labels.map((c, i) => (i === 3 ? 4 : c)) }), "ERR_RANGE", "labels"],
    ["NaN", () => ({ features: changed(given.features, 5, 6, NaN) }), "ERR_NON_FINITE", "features"],
    ["an infinite weight", () => ({ weight: changed(given.weight, 5, 6, Infinity) }), "ERR_NON_FINITE", "weight"],
    ["a zero row of weight", () => ({ weight: changed(given.weight, 12, 24, 0) }), "ERR_RANGE", "no row of zeros in weight"],
    ["equal class means", () => ({ features: changed(given.features, 0, 26 * 12, 1) }), "ERR_RANGE", "class means in general position"],
    ["too few labels", () => ({ labels: given.labels.subarray(1) }), "ERR_SHAPE", "labels: expected 26 values, found 25"],
    ["another width of weight", () => ({ weight: matrix(given.weight.data, 6) }), "ERR_SHAPE", "weight: expected 12 columns"],
    [
      "class means on a line",
      () => ({ features: simplex, labels: Int32Array.of(0, 1, 2, 3), weight: matrix(uniform("line", 12), 3) }),
      "ERR_RANGE",
      "class means in general position",
    ],
    ["far rows", () => ({ features: changed(given.features, 5, 6, 1e200) }), "ERR_RANGE", "features: expected distances between rows"],
    [
      "tiny features",
      () => ({
        features: matrix(
          given.features.data.map((x) => x * 1e-160),
          12,
        ),
      }),
      "ERR_RANGE",
      "features: expected",
    ],
    [
      "a tiny weight",
      () => ({
        weight: matrix(
          given.weight.data.map((x) => x * 1e-160),
          12,
        ),
      }),
      "ERR_RANGE",
      "weight: expected entries",
    ],
    ["an unknown option", () => ({ bias: 1 }) as object, "ERR_OPTION", 'unknown option "bias"'],
  ])("%s", async (_, change, code, message) => {
    await expect(loss({ ...given, ...change() })).rejects.toEqual(refused(code, message));
  });
});
