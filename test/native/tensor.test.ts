// Tensor: what goes in comes out, whatever the array is a view of and whichever realm made it.

import { createContext, runInContext } from "node:vm";
import { Tensor, type Dtype, type TensorArray } from "../../lib";
import { countTurns } from "../support/event-loop";

const arrays: [Dtype, TensorArray][] = [
  ["float32", Float32Array.of(0, -0, 1.5, Infinity, -Infinity, NaN, 3.4e38, 1e-45)],
  ["float64", Float64Array.of(0, -0, 1.5, Infinity, -Infinity, NaN, 1.7e308, 5e-324)],
  ["int32", Int32Array.of(0, 1, -1, 2 ** 31 - 1, -(2 ** 31), 7, 8, 9)],
  ["int64", BigInt64Array.of(0n, 1n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 7n, 8n, 9n)],
  ["uint8", Uint8Array.of(0, 1, 2, 127, 128, 254, 255, 9)],
  ["int8", Int8Array.of(0, 1, -1, 127, -128, 7, 8, 9)],
];

const bytes = (array: ArrayBufferView) => Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString("hex");

describe.each(arrays)("%s", (dtype, array) => {
  test("goes in and comes out, bit for bit", () => {
    const tensor = Tensor.from(array, [2, 4]);
    expect(tensor.dtype).toBe(dtype);
    expect(tensor.shape).toEqual([2, 4]);
    expect(tensor.size).toBe(8);
    expect(bytes(tensor.toArray())).toBe(bytes(array));
    expect(Object.prototype.toString.call(tensor.toArray())).toBe(Object.prototype.toString.call(array));
  });

  test("a view into the middle of a buffer", () => {
    const view = array.subarray(3, 6);
    expect(bytes(Tensor.from(view).toArray())).toBe(bytes(view));
  });
});

test("the result is the caller's own: neither side sees the other's changes", () => {
  const source = Float32Array.of(1, 2);
  const tensor = Tensor.from(source);
  source[0] = 9;
  const first = tensor.toArray();
  first[1] = 9;
  expect([...tensor.toArray()]).toEqual([1, 2]);
});

test.each([
  ["no shape: one dimension", undefined, [6]],
  ["a scalar", [], []],
  ["no elements", [0, 3], [0, 3]],
  ["eight dimensions", [1, 2, 1, 3, 1, 1, 1, 1], [1, 2, 1, 3, 1, 1, 1, 1]],
])("shape: %s", (_, shape, expected) => {
  const count = expected.reduce((a, b) => a * b, 1);
  const tensor = Tensor.from(new Float32Array(count).fill(7), shape);
  expect(tensor.shape).toEqual(expected);
  expect(tensor.toArray()).toHaveLength(count);
});

test("the shape given and the shape read are copies", () => {
  const shape = [2, 3];
  const tensor = Tensor.from(new Float32Array(6), shape);
  shape[0] = 99;
  tensor.shape[0] = 99;
  expect(tensor.shape).toEqual([2, 3]);
});

describe("arrays of other kinds and makers", () => {
  const realm = createContext({});
  const foreign = (code: string): TensorArray => runInContext(code, realm) as TensorArray;

  test.each([
    ["Float32Array of another realm", foreign("Float32Array.of(1, 2, 3)"), "float32"],
    ["BigInt64Array of another realm", foreign("BigInt64Array.of(1n, 2n, 3n)"), "int64"],
    ["view of a buffer of another realm", foreign("new Uint8Array(Uint8Array.of(9, 1, 2, 3, 9).buffer, 1, 3)"), "uint8"],
    ["Buffer", Buffer.from([1, 2, 3]), "uint8"],
    ["Buffer from the pool, at an odd offset", Buffer.from("\u0001\u0002\u0003"), "uint8"],
    ["Uint8ClampedArray", Uint8ClampedArray.of(1, 2, 3), "uint8"],
    ["subclass", new (class Own extends Float32Array {})([1, 2, 3]), "float32"],
  ])("%s", (_, array, dtype) => {
    const tensor = Tensor.from(array, [3, 1]);
    expect(tensor.dtype).toBe(dtype);
    expect(Array.from(tensor.toArray() as ArrayLike<number | bigint>, Number)).toEqual([1, 2, 3]);
  });

  test("over shared memory, whole and in part", () => {
    const shared = new SharedArrayBuffer(32);
    const all = new Float32Array(shared);
    all.set([1, 2, 3, 4, 5, 6, 7, 8]);
    expect([...Tensor.from(all).toArray()]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect([...Tensor.from(new Float32Array(shared, 8, 3)).toArray()]).toEqual([3, 4, 5]);
    all[0] = 9;
    expect(Tensor.from(all).toArray().buffer).not.toBe(shared);
  });

  test("an array whose buffer was transferred has no elements left to take", () => {
    const array = Float32Array.of(1, 2, 3);
    structuredClone(array.buffer, { transfer: [array.buffer] });
    expect(() => Tensor.from(array, [3])).toThrow("data: expected 3 elements for shape [3], found 0");
  });

  test("more than one tensor of a large array: offsets beyond 2 GiB are not cut off", () => {
    const tensor = Tensor.from(new Uint8Array(8 << 20).fill(1), [8, 1 << 20]);
    expect(tensor.slice(7).toArray()).toEqual(new Uint8Array(1 << 20).fill(1));
  });
});

describe("slice", () => {
  const tensor = Tensor.from(Int32Array.of(0, 1, 2, 3, 4, 5, 6, 7), [4, 2]);

  test.each([
    [0, 4, [0, 1, 2, 3, 4, 5, 6, 7]],
    [1, 3, [2, 3, 4, 5]],
    [4, 4, []],
    [3, undefined, [6, 7]],
  ])("rows %p to %p", (start, end, expected) => {
    const rows = tensor.slice(start, end);
    expect(rows.shape).toEqual([expected.length / 2, 2]);
    expect([...rows.toArray()]).toEqual(expected);
  });

  test("a slice of a slice outlives the tensor that it is of", () => {
    const whole = Tensor.from(Float64Array.of(1, 2, 3, 4), [4]);
    const part = whole.slice(1).slice(1, 2);
    whole.dispose();
    expect([...part.toArray()]).toEqual([3]);
  });
});

describe("dispose", () => {
  test("is idempotent, and `using` does it too", () => {
    let outside: Tensor;
    {
      using inside = Tensor.from(new Float32Array(3));
      outside = inside;
      expect(inside.disposed).toBe(false);
    }
    expect(outside.disposed).toBe(true);
    outside.dispose();
    outside.dispose();
    expect(outside.disposed).toBe(true);
  });
});

describe("fromAsync", () => {
  test.each(arrays)("%s: what from() makes", async (dtype, array) => {
    const tensor = await Tensor.fromAsync(array, [2, 4]);
    expect([tensor.dtype, tensor.shape, bytes(tensor.toArray())]).toEqual([dtype, [2, 4], bytes(array)]);
    const view = array.subarray(3, 6);
    expect(bytes((await Tensor.fromAsync(view)).toArray())).toBe(bytes(view));
    expect((await Tensor.fromAsync(array.subarray(0, 0), [0, 5])).shape).toEqual([0, 5]);
  });

  const large = () => Float32Array.from({ length: 5 << 20 }, (_, i) => i);

  test("an array of several pieces, between which the event loop turns", async () => {
    const array = large();
    const { result: tensor, turns } = await countTurns(() => Tensor.fromAsync(array, [5, 1 << 20]));
    expect(Buffer.compare(Buffer.from(tensor.toArray().buffer), Buffer.from(array.buffer))).toBe(0);
    expect(turns).toBeGreaterThan(0);
  });

  test("memory that is transferred meanwhile is refused, an abort ends the copy", async () => {
    const array = large();
    const copied = Tensor.fromAsync(array);
    structuredClone(array, { transfer: [array.buffer] });
    await expect(copied).rejects.toMatchObject({
      code: "ERR_SHAPE",
      message: expect.stringMatching(/expected 5242880 .*found 0$/) as string,
    });
    const control = new AbortController();
    const aborted = Tensor.fromAsync(large(), undefined, { signal: control.signal });
    control.abort();
    await expect(aborted).rejects.toMatchObject({ code: "ERR_ABORTED" });
  });

  test("what from() refuses is refused", async () => {
    await expect(Tensor.fromAsync([1, 2] as never)).rejects.toMatchObject({ code: "ERR_DTYPE" });
    await expect(Tensor.fromAsync(new Float32Array(6), [2, 4])).rejects.toMatchObject({
      code: "ERR_SHAPE",
      message: "data: expected 8 elements for shape [2, 4], found 6",
    });
    await expect(Tensor.fromAsync(new Float32Array(6), [-6])).rejects.toMatchObject({ code: "ERR_SHAPE" });
    await expect(Tensor.fromAsync(new Float32Array(6), [6], { abort: 1 } as never)).rejects.toMatchObject({ code: "ERR_OPTION" });
  });
});
