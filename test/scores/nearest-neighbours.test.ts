// The search for nearest neighbours is exact whatever the screens make of the data: against plain differences in float64.

import * as scores from "../../lib/scores";
import { uniform } from "../models/resnet/closed-formula";

interface Matrix<A> {
  data: A;
  shape: [number, number];
}

function matrix(name: string, rows: number, columns: number, change: (value: number, row: number) => number): Matrix<Float64Array> {
  return { data: uniform(name, rows * columns).map((value, i) => change(value, Math.floor(i / columns))), shape: [rows, columns] };
}

/** Distances to the k-th nearest row, by differences. */
function direct(points: Matrix<ArrayLike<number>>, queries: Matrix<ArrayLike<number>>, k: number): number[] {
  const [rows, d] = points.shape;
  return Array.from({ length: queries.shape[0] }, (_, q) => {
    const distances = Float64Array.from({ length: rows }, (_, p) => {
      let sum = 0;
      for (let j = 0; j < d; j++) sum += ((queries.data[q * d + j] as number) - (points.data[p * d + j] as number)) ** 2;
      return Math.sqrt(sum);
    });
    return distances.sort()[k - 1] as number;
  });
}

async function found(points: Matrix<Float64Array | Float32Array>, queries: Matrix<Float64Array | Float32Array>, k: number) {
  using score = await scores.fit("nearest-neighbours", { features: points }, { k, normalize: false });
  return (await score.score({ features: queries })).map((value) => -value);
}

function expectExact(values: Float64Array, wanted: number[], d: number): void {
  const worst = Math.max(...wanted.map((value, i) => Math.abs((values[i] as number) - value) / (value === 0 ? Number.MIN_VALUE : value)));
  expect(worst).toBeLessThan(d * Number.EPSILON); // the order of a sum's terms
}

const d = 24;
const clusters = (spread: number, offset = 0) =>
  [
    matrix("points", 2000, d, (value, row) => offset + (row % 8) + spread * value),
    matrix("queries", 40, d, (value, row) => offset + (row % 8) + spread * value),
  ] as const;

test.each([
  ["spread out, which float32 products tell apart", 1, 0],
  ["collapsed to 1e-3, which float64 products tell apart", 1e-3, 0],
  ["collapsed to 1e-9, which differences alone tell apart", 1e-9, 0],
  ["collapsed to 1e-9, far from zero", 1e-9, 1e3],
])("points %s", async (_, spread, offset) => {
  const [points, queries] = clusters(spread, offset);
  for (const k of [1, 7, 200, 2000]) expectExact(await found(points, queries, k), direct(points, queries, k), d);
});

test("float32 features are compared as they are", async () => {
  const [points, queries] = clusters(1e-4).map(({ data, shape }) => ({ data: Float32Array.from(data), shape })) as [
    Matrix<Float32Array>,
    Matrix<Float32Array>,
  ];
  expectExact(await found(points, queries, 5), direct(points, queries, 5), d);
});

test("more points and queries than are taken at once, and a repeated call", async () => {
  const points = matrix("many points", 8192 + 500, 4, (value) => value);
  const queries = matrix("many queries", 600, 4, (value) => value);
  using score = await scores.fit("nearest-neighbours", { features: points }, { k: 3, normalize: false });
  const first = await score.score({ features: queries });
  expectExact(
    first.map((value) => -value),
    direct(points, queries, 3),
    4,
  );
  // Rows do not depend on what else is asked, nor on what was asked before.
  const alone = await score.score({ features: { data: queries.data.slice(4 * 590), shape: [10, 4] } });
  expect(alone).toEqual(first.slice(590));
  const single = await score.score({ features: { data: queries.data.slice(4 * 599), shape: [1, 4] } });
  expect(single).toEqual(first.slice(599));
});

test("more points and dimensions than one block of a product holds", async () => {
  const points = matrix("points of a product", 3500, 300, (value) => value);
  const queries = matrix("queries of a product", 12, 300, (value) => value);
  expectExact(await found(points, queries, 3), direct(points, queries, 3), 300);
});

test("more queries than go through the points together", async () => {
  const points = matrix("some points", 150, 3, (value) => value);
  const queries = matrix("a block of queries", 8192 + 1500, 3, (value) => value);
  expectExact(await found(points, queries, 4), direct(points, queries, 4), 3);
});

test("a hundred copies of each point", async () => {
  const some = matrix("copied", 5, d, (value) => value);
  const points: Matrix<Float64Array> = { data: new Float64Array(500 * d), shape: [500, d] };
  for (let row = 0; row < 500; row++) points.data.set(some.data.slice((row % 5) * d, ((row % 5) + 1) * d), row * d);
  expect(await found(points, some, 100)).toEqual(new Float64Array(5)); // itself, a hundred times
  expectExact(await found(points, some, 101), direct(points, some, 101), d);
});

test("queries far out, and all points in one place", async () => {
  const [points] = clusters(1);
  const far = matrix("far", 3, d, (value, row) => value * 10 ** [20, 40, 100][row]!);
  expectExact(await found(points, far, 5), direct(points, far, 5), d);
  const one = matrix("one place", 30, d, () => 2);
  expect(await found(one, one, 30)).toEqual(new Float64Array(30));
  expectExact(await found(one, far, 5), direct(one, far, 5), d);
});

test("rows of zeros stay zero when normalised; a longer row is no nearer than its direction", async () => {
  const features = { data: Float64Array.of(0, 0, 3, 4, 30, 40), shape: [3, 2] };
  using score = await scores.fit("nearest-neighbours", { features }, { k: 2 });
  const answers = await score.score({ features: { data: Float64Array.of(6, 8, 0, 0), shape: [2, 2] } });
  expect(answers[0]).toBeCloseTo(0, 14);
  expect(answers[1]).toBeCloseTo(-1, 14);
});

test("features are not written to", async () => {
  const [points, queries] = clusters(1);
  const before = points.data.slice();
  await found(points, queries, 3);
  expect(points.data).toEqual(before);
});

describe("features whose squares underflow", () => {
  const tiny = (scale: number) =>
    [matrix("points", 300, d, (value) => value * scale), matrix("queries", 20, d, (value) => value * scale)] as const;
  const scaledBack = ({ data, shape }: Matrix<Float64Array>, scale: number) => ({ data: data.map((value) => value / scale), shape });

  test.each([1e-160, 1e-200, 1e-290])("at %p: the distances of the same features at 1, and their directions", async (scale) => {
    const [points, queries] = tiny(scale);
    const [large, largeQueries] = [scaledBack(points, scale), scaledBack(queries, scale)];
    const distances = (await found(points, queries, 7)).map((value) => value / scale);
    expectExact(distances, direct(large, largeQueries, 7), 4 * d); // one rounding more per value: the division by the scale
    const angle = async (training: Matrix<Float64Array>, asked: Matrix<Float64Array>) => {
      using score = await scores.fit("nearest-neighbours", { features: training }, { k: 7 });
      return score.score({ features: asked });
    };
    expectExact(
      await angle(points, queries),
      [...(await angle(large, largeQueries))].map((value) => value),
      8 * d,
    );
  });

  test("a row too short to have a direction is refused, one of zeros is not", async () => {
    using score = await scores.fit("nearest-neighbours", { features: matrix("points", 60, 2, (value) => value) }, { k: 1 });
    expect((await score.score({ features: { data: new Float64Array(2), shape: [1, 2] } }))[0]).toBeLessThan(0);
    const short = { data: Float64Array.of(5e-324, 0), shape: [1, 2] as [number, number] };
    await expect(score.score({ features: short })).rejects.toEqual(expect.objectContaining({ code: "ERR_RANGE" }));
    await expect(scores.fit("nearest-neighbours", { features: short }, { k: 1 })).rejects.toEqual(
      expect.objectContaining({ code: "ERR_RANGE" }),
    );
  });
});

test("long rows under full collapse: an abort ends the search within a second", async () => {
  const wide = 2048;
  const same = (rows: number): Matrix<Float32Array> => ({
    data: Float32Array.from({ length: rows * wide }, (_, i) => 1 + (i % wide) / wide),
    shape: [rows, wide],
  });
  using score = await scores.fit("nearest-neighbours", { features: same(8192) }, { k: 50 });
  const abort = new AbortController();
  const searched = score.score({ features: same(2000) }, { signal: abort.signal });
  let aborted = 0;
  setTimeout(() => {
    aborted = performance.now();
    abort.abort();
  }, 3000); // in the screen by differences, which would take minutes
  await expect(searched).rejects.toEqual(expect.objectContaining({ code: "ERR_ABORTED" }));
  expect(performance.now() - aborted).toBeLessThan(1000);
});
