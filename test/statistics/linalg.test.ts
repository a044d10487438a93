// Matrix functions against numpy and scipy (test/reference/linalg.py).

import expected from "../reference/linalg.json";
import * as linalg from "../../lib/statistics/linalg";
import { Tensor, type ArrayWithShape } from "../../lib/native/tensor";
import { uniform } from "../models/resnet/closed-formula";

const refused = (code: string, message = "") => expect.objectContaining({ code, message: expect.stringContaining(message) });
const array = (name: string, ...shape: number[]): { data: Float64Array; shape: number[] } => ({
  data: uniform(
    name,
    shape.reduce((a, b) => a * b),
  ),
  shape,
});
const single = ({ data, shape }: { data: Float64Array; shape: number[] }): ArrayWithShape => ({ data: Float32Array.from(data), shape });
const get = (data: Float64Array, i: number): number => data[i] as number;

function multiply(a: Float64Array, b: Float64Array, n: number, k: number, m: number): Float64Array {
  return Float64Array.from({ length: n * m }, (_, at) => {
    let sum = 0;
    for (let i = 0; i < k; i++) sum += get(a, Math.floor(at / m) * k + i) * get(b, i * m + (at % m));
    return sum;
  });
}
const transposed = (a: Float64Array, n: number, m: number): Float64Array =>
  Float64Array.from({ length: n * m }, (_, at) => get(a, (at % n) * m + Math.floor(at / n)));

function expectClose(found: ArrayLike<number>, wanted: ArrayLike<number>, tolerance: number): void {
  expect(found.length).toBe(wanted.length);
  const scale = Array.from(wanted).reduce((largest, x) => Math.max(largest, Math.abs(x)), 0);
  for (let i = 0; i < wanted.length; i++) expect(Math.abs((found[i] as number) - (wanted[i] as number)) / scale).toBeLessThan(tolerance);
}
const values = (tensor: Tensor): Float64Array | Float32Array => tensor.toArray() as Float64Array | Float32Array;

const x = array("linalg.x", 30, 6);
const square = array("linalg.square", 3, 7, 7);
const eachSquare = [0, 1, 2].map((k) => square.data.slice(k * 49, (k + 1) * 49));
const batch = (make: (a: Float64Array) => Float64Array) => ({
  data: Float64Array.from(eachSquare.flatMap((a) => Array.from(make(a)))),
  shape: [3, 7, 7],
});
const symmetric = batch((a) => a.map((v, i) => v + get(transposed(a, 7, 7), i)));
const positive = batch((a) => multiply(a, transposed(a, 7, 7), 7, 7, 7).map((v, i) => v + (i % 8 === 0 ? 0.1 : 0)));
const tall = array("linalg.tall", 2, 9, 4);
const lowRank = { data: multiply(array("linalg.left", 8, 3).data, array("linalg.right", 3, 6).data, 8, 3, 6), shape: [8, 6] };
const lowSymmetric = { data: multiply(lowRank.data, transposed(lowRank.data, 8, 6), 8, 6, 8), shape: [8, 8] };

describe("covariance", () => {
  test("equals numpy's for both divisors, in float64 also from float32", async () => {
    expectClose(values(await linalg.covariance(x)), expected.covariance["1"], 1e-14);
    expectClose(values(await linalg.covariance(x, { ddof: 0 })), expected.covariance["0"], 1e-14);
    const fromSingle = await linalg.covariance(single(x));
    expect(fromSingle).toMatchObject({ dtype: "float64", shape: [6, 6] });
    expectClose(values(fromSingle), expected.covariance["1"], 1e-6);
  });
  // Products are made of tiles of 8 rows, 24 columns and layers of 256: sizes on both sides of each edge, against the definition.
  test.each([1, 7, 8, 9, 24, 25, 95, 97, 121])("equals the definition for %i columns", async (d) => {
    const rows = 530;
    const { data } = array(`linalg.tiles.${d}`, rows, d);
    const mean = Float64Array.from({ length: d }, (_, j) => data.reduce((sum, value, i) => (i % d === j ? sum + value : sum), 0) / rows);
    const centred = data.map((value, i) => value - get(mean, i % d));
    const scatter = multiply(transposed(centred, rows, d), centred, d, rows, d);
    // 530 products and sums of doubles: their rounding is 530·1.1e-16 at most.
    expectClose(
      values(await linalg.covariance({ data, shape: [rows, d] })),
      scatter.map((value) => value / (rows - 1)),
      6e-14,
    );
  });
  test("weights count repetitions", async () => {
    const weights = uniform("linalg.weights", 30).map((w) => w + 1);
    expectClose(values(await linalg.covariance(x, { weights: { data: weights, shape: [30] } })), expected.weighted, 1e-14);
    const repetitions = { data: Float64Array.from({ length: 30 }, (_, i) => i % 3), shape: [30] };
    expectClose(values(await linalg.covariance(x, { weights: repetitions })), expected.repeated, 1e-14);
  });
  const labels = Int32Array.from({ length: 30 }, (_, i) => (i * 7) % 3);
  test("within classes: of each, and pooled", async () => {
    for (const [ddof, wanted] of Object.entries(expected.within)) {
      const options = { labels, ddof: Number(ddof) };
      const classes = await linalg.covariance(x, { ...options, of: "classes" });
      expect(classes).toMatchObject({ dtype: "float64", shape: [3, 6, 6] });
      expectClose(values(classes), wanted.classes, 1e-14);
      const pooled = await linalg.covariance(x, { ...options, of: "pooled" });
      expect(pooled.shape).toEqual([6, 6]);
      expectClose(values(pooled), wanted.pooled, 1e-14);
    }
    const weights = { data: uniform("linalg.weights", 30).map((w) => w + 1), shape: [30] };
    const before = weights.data.slice();
    expectClose(values(await linalg.covariance(x, { labels, of: "classes", weights })), expected.within_weighted.classes, 1e-14);
    expectClose(values(await linalg.covariance(x, { labels, of: "pooled", weights })), expected.within_weighted.pooled, 1e-14);
    expect(weights.data).toEqual(before);
    // a class without rows: nothing to pool, nothing of its own
    const more = { labels, numClasses: 4 } as const;
    expectClose(values(await linalg.covariance(x, { ...more, of: "pooled" })), expected.within["1"].pooled, 1e-14);
    await expect(linalg.covariance(x, { ...more, of: "classes" })).rejects.toThrow(refused("ERR_SHAPE", "class 3"));
    await expect(linalg.covariance(x, { labels })).rejects.toThrow(refused("ERR_OPTION", "labels"));
    await expect(linalg.covariance(x, { of: "pooled" })).rejects.toThrow(refused("ERR_OPTION", "labels"));
    await expect(linalg.covariance(x, { labels, of: "pooled", numClasses: 2 })).rejects.toThrow(refused("ERR_RANGE", "labels"));
    await expect(linalg.covariance(x, { labels: labels.subarray(1), of: "pooled" })).rejects.toThrow(refused("ERR_SHAPE", "labels"));
    await expect(linalg.covariance(array("linalg.stack", 2, 3, 5), { labels: [0, 1, 0], of: "pooled" })).rejects.toThrow(
      refused("ERR_SHAPE", "x"),
    );
  });
  test("of each matrix of a batch, with the same weights or its own", async () => {
    const stack = array("linalg.stack", 2, 3, 20, 5);
    const found = await linalg.covariance(stack);
    expect(found.shape).toEqual([2, 3, 5, 5]);
    expectClose(values(found), expected.covariance_batch, 1e-14);
    const weights = uniform("linalg.stack weights", 20).map((w) => w + 1.5);
    const shared = values(await linalg.covariance(stack, { weights: { data: weights, shape: [20] }, ddof: 0 }));
    expectClose(shared, expected.covariance_batch_weighted, 1e-14);
    const six = Float64Array.from({ length: 120 }, (_, i) => get(weights, i % 20));
    expect(values(await linalg.covariance(stack, { weights: { data: six, shape: [2, 3, 20] }, ddof: 0 }))).toEqual(shared);
    await expect(linalg.covariance(stack, { weights: { data: six, shape: [3, 2, 20] } })).rejects.toThrow(refused("ERR_SHAPE", "weights"));
  });
  test("is not lost beside a large mean (trap 4), and holds over many chunks", async () => {
    const far = x.data.map((v) => v + 1e6);
    // 1e6 + v has lost 2^20 of v's last bits: 1e-10 of the spread
    expectClose(values(await linalg.covariance({ data: far, shape: x.shape })), expected.covariance["1"], 1e-9);
    const rows = 10_000;
    const many = array("linalg.many", rows, 3);
    const found = values(await linalg.covariance(many));
    const mean = [0, 1, 2].map((j) => many.data.filter((_, i) => i % 3 === j).reduce((a, b) => a + b) / rows);
    let sum = 0;
    for (let i = 0; i < rows; i++) sum += (get(many.data, 3 * i) - (mean[0] as number)) * (get(many.data, 3 * i + 2) - (mean[2] as number));
    expect(found[2]).toBeCloseTo(sum / (rows - 1), 14);
  });
  test("refusals", async () => {
    await expect(linalg.covariance({ data: Float64Array.of(1, NaN), shape: [2, 1] })).rejects.toThrow(refused("ERR_NON_FINITE", "row 1"));
    await expect(linalg.covariance({ data: Float64Array.of(1, 2), shape: [1, 2] })).rejects.toThrow(refused("ERR_SHAPE", "ddof"));
    await expect(linalg.covariance({ data: new Float64Array(0), shape: [0, 2] })).rejects.toThrow(refused("ERR_SHAPE"));
    await expect(linalg.covariance({ data: Float64Array.of(1, 2), shape: [2] })).rejects.toThrow(refused("ERR_SHAPE"));
    const weights = { data: new Float64Array(30).fill(-1), shape: [30] };
    await expect(linalg.covariance(x, { weights })).rejects.toThrow(refused("ERR_RANGE", "weights"));
    for (const bad of [NaN, Infinity]) {
      const spoilt = { data: new Float64Array(30).fill(1).fill(bad, 4, 5), shape: [30] };
      await expect(linalg.covariance(x, { weights: spoilt })).rejects.toThrow(refused("ERR_NON_FINITE", "weights"));
    }
    await expect(linalg.covariance(x, { weights: { data: new Float64Array(29), shape: [29] } })).rejects.toThrow(
      refused("ERR_SHAPE", "weights"),
    );
    await expect(linalg.covariance({ data: new Int32Array(4), shape: [2, 2] })).rejects.toThrow(refused("ERR_DTYPE"));
    await expect(linalg.covariance(x, { ddof: -1 })).rejects.toThrow(refused("ERR_RANGE"));
    await expect(linalg.covariance(x, { device: "tpu" })).rejects.toThrow(refused("ERR_OPTION"));
    await expect(linalg.covariance(x, { signal: AbortSignal.abort() })).rejects.toThrow(refused("ERR_ABORTED"));
  });
});

describe("pinv", () => {
  test("a batch of full rank", async () => {
    const found = await linalg.pinv(tall);
    expect(found).toMatchObject({ dtype: "float64", shape: [2, 4, 9] });
    expectClose(values(found), expected.pinv_tall, 1e-13);
    const fromSingle = await linalg.pinv(single(tall));
    expect(fromSingle.dtype).toBe("float32");
    expectClose(values(fromSingle), expected.pinv_tall, 1e-5);
  });
  test("a matrix of rank 3: by the default cut-off, by rcond, and cut to rank 2", async () => {
    expectClose(values(await linalg.pinv(lowRank)), expected.pinv_low_rank, 1e-12);
    expectClose(values(await linalg.pinv(lowRank, { rcond: 1e-8 })), expected.pinv_low_rank, 1e-12);
    expectClose(values(await linalg.pinv(lowRank, { rank: 3 })), expected.pinv_low_rank, 1e-12);
    expectClose(values(await linalg.pinv(lowRank, { rank: 2 })), expected.pinv_rank2, 1e-12);
    expect(Array.from(values(await linalg.pinv(lowRank, { rank: 0 }))).every((v) => v === 0)).toBe(true);
  });
  test("a symmetric matrix, by its eigenvalues and by singular values", async () => {
    for (const hermitian of [true, false])
      expectClose(values(await linalg.pinv(lowSymmetric, { hermitian })), expected.pinv_symmetric, 1e-11);
  });
  test("a zero matrix gives zeros", async () => {
    expect(Array.from(values(await linalg.pinv({ data: new Float64Array(6), shape: [2, 3] })))).toEqual([0, 0, 0, 0, 0, 0]);
  });
  test("refusals", async () => {
    await expect(linalg.pinv(tall, { hermitian: true })).rejects.toThrow(refused("ERR_SHAPE", "square"));
    await expect(linalg.pinv(square, { hermitian: true })).rejects.toThrow(refused("ERR_RANGE", "symmetric"));
    await expect(linalg.pinv(tall, { rcond: 0.1, rank: 1 })).rejects.toThrow(refused("ERR_OPTION"));
    await expect(linalg.pinv(tall, { rank: 5 })).rejects.toThrow(refused("ERR_RANGE"));
    await expect(linalg.pinv({ data: Float64Array.of(1), shape: [1] })).rejects.toThrow(refused("ERR_SHAPE"));
  });
});

describe("cholesky", () => {
  test("a batch, in both dtypes", async () => {
    const { factor, jitter } = await linalg.cholesky(positive);
    expect(factor.shape).toEqual([3, 7, 7]);
    expectClose(values(factor), expected.cholesky, 1e-13);
    expect(Array.from(jitter)).toEqual([0, 0, 0]);
    const fromSingle = await linalg.cholesky(single(positive));
    expect(fromSingle.factor.dtype).toBe("float32");
    expectClose(values(fromSingle.factor), expected.cholesky, 1e-5);
  });
  test("a singular matrix: refused without jitter, factorised with the rule's, DDU's or one's own", async () => {
    await expect(linalg.cholesky(lowSymmetric)).rejects.toThrow(refused("ERR_NOT_POSITIVE_DEFINITE"));
    for (const jitter of ["relative", "ddu", 1e-3] as const) {
      const found = await linalg.cholesky(lowSymmetric, { jitter });
      const factor = values(found.factor) as Float64Array;
      const back = multiply(factor, transposed(factor, 8, 8), 8, 8, 8);
      const wanted = lowSymmetric.data.map((v, i) => v + (i % 9 === 0 ? (found.jitter[0] as number) : 0));
      expectClose(back, wanted, 1e-13);
      expect(found.jitter[0]).toBeGreaterThan(0);
    }
    expect((await linalg.cholesky(lowSymmetric, { jitter: 1e-3 })).jitter[0]).toBe(1e-3);
  });
  test("refusals", async () => {
    await expect(linalg.cholesky(square)).rejects.toThrow(refused("ERR_RANGE", "symmetric"));
    await expect(linalg.cholesky({ data: new Float64Array(4), shape: [2, 2] }, { jitter: "relative" })).rejects.toThrow(
      refused("ERR_NOT_POSITIVE_DEFINITE"),
    );
    await expect(linalg.cholesky(positive, { jitter: "some" as never })).rejects.toThrow(refused("ERR_OPTION"));
    await expect(linalg.cholesky(positive, { jitter: NaN })).rejects.toThrow(refused("ERR_NON_FINITE"));
  });
});

describe("logdet", () => {
  test("sign and logarithm, of a batch", async () => {
    const { sign, logarithm } = await linalg.logdet(square);
    expect(Array.from(sign)).toEqual(expected.logdet.sign);
    expectClose(logarithm, expected.logdet.logarithm, 1e-13);
    const singular = await linalg.logdet({ data: Float64Array.of(1, 2, 2, 4), shape: [2, 2] });
    expect([singular.sign[0], singular.logarithm[0]]).toEqual([0, -Infinity]);
  });
  test("a batch of large matrices, which libtorch 2.13 itself gets wrong on several threads", async () => {
    const n = 300;
    const noise = uniform("linalg.large", 4 * n * n);
    // Lower triangular with a known diagonal, mixed by a permutation of the rows that is its own inverse.
    const data = Float64Array.from(noise, (v, i) => {
      const [row, column] = [n - 1 - (Math.floor(i / n) % n), i % n];
      return row === column ? 2 : row > column ? v / n : 0;
    });
    const { sign, logarithm } = await linalg.logdet({ data, shape: [4, n, n] });
    for (let k = 0; k < 4; k++) {
      expect(sign[k]).toBe(1); // 150 swaps
      expect((logarithm[k] as number) / (n * Math.log(2))).toBeCloseTo(1, 12);
    }
  });
});

describe("eigh and svdvals", () => {
  test("eigenvalues ascending, vectors in columns", async () => {
    const found = await linalg.eigh(symmetric);
    expectClose(values(found.values), expected.eigenvalues, 1e-13);
    const vectors = values(found.vectors) as Float64Array;
    for (let k = 0; k < 3; k++) {
      const v = vectors.slice(k * 49, (k + 1) * 49);
      const scaled = v.map((entry, i) => entry * (values(found.values)[k * 7 + (i % 7)] as number));
      expectClose(multiply(scaled, transposed(v, 7, 7), 7, 7, 7), symmetric.data.slice(k * 49, (k + 1) * 49), 1e-13);
    }
    expect((await linalg.eigh(single(symmetric))).values.dtype).toBe("float32");
    await expect(linalg.eigh(square)).rejects.toThrow(refused("ERR_RANGE", "symmetric"));
  });
  test("singular values descending", async () => {
    const found = await linalg.svdvals(tall);
    expect(found.shape).toEqual([2, 4]);
    expectClose(values(found), expected.svdvals, 1e-13);
    await expect(linalg.svdvals({ data: Float64Array.of(1, Infinity), shape: [1, 2] })).rejects.toThrow(refused("ERR_NON_FINITE"));
  });
});

type Matrix = Tensor | ArrayWithShape;
const functions: Record<string, (matrix: Matrix) => Promise<ArrayLike<number>[]>> = {
  covariance: async (matrix) => [values(await linalg.covariance(matrix))],
  pinv: async (matrix) => [values(await linalg.pinv(matrix))],
  cholesky: async (matrix) => [values((await linalg.cholesky(matrix)).factor)],
  logdet: async (matrix) => Object.values(await linalg.logdet(matrix)),
  eigh: async (matrix) => [values((await linalg.eigh(matrix)).values)],
  svdvals: async (matrix) => [values(await linalg.svdvals(matrix))],
};
const hermitianInverse = async (matrix: Matrix) => [values(await linalg.pinv(matrix, { hermitian: true }))];

test.each(Object.entries(functions))(
  "%s: a Tensor gives what its array gives, float32 nearly what float64 does, a batch what each of it does",
  async (_, call) => {
    const wanted = await call(positive);
    expect(await call(Tensor.from(positive.data, positive.shape))).toEqual(wanted);
    // Condition numbers of these matrices are a few hundred: so many float32 roundings.
    (await call(single(positive))).forEach((found, i) => expectClose(found, wanted[i] as ArrayLike<number>, 1e-4));
    const parts = await Promise.all([0, 1, 2].map((k) => call({ data: positive.data.slice(49 * k, 49 * (k + 1)), shape: [7, 7] })));
    wanted.forEach((whole, i) => {
      const joined = parts.flatMap((part) => Array.from(part[i] as ArrayLike<number>));
      expectClose(joined, whole, 1e-12);
    });
  },
);

test.each([...Object.entries(functions), ["pinv, hermitian", hermitianInverse] as const])(
  "%s: NaN and infinity are refused (trap 3)",
  async (_, call) => {
    for (const bad of [NaN, Infinity, -Infinity]) {
      for (const places of [[8], [50, 56]]) {
        // A diagonal entry of the first matrix, and two of the second that mirror each other.
        const data = positive.data.map((value, i) => (places.includes(i) ? bad : value));
        await expect(call({ data, shape: positive.shape })).rejects.toThrow(refused("ERR_NON_FINITE"));
      }
    }
  },
);

test("cholesky of a batch: with the relative rule each matrix has the jitter that it needs, with DDU's all have one", async () => {
  const eight = multiply(array("linalg.full", 8, 8).data, transposed(array("linalg.full", 8, 8).data, 8, 8), 8, 8, 8);
  const both = { data: Float64Array.from([...eight, ...lowSymmetric.data]), shape: [2, 8, 8] };
  const own = (await linalg.cholesky(lowSymmetric, { jitter: "relative" })).jitter[0] as number;
  expect(Array.from((await linalg.cholesky(both, { jitter: "relative" })).jitter)).toEqual([0, own]);
  const ddu = (await linalg.cholesky(lowSymmetric, { jitter: "ddu" })).jitter[0] as number;
  expect(Array.from((await linalg.cholesky(both, { jitter: "ddu" })).jitter)).toEqual([ddu, ddu]);
});
