// normalizeImages: (x / 255 − mean) / std of bytes and (x − mean) / std of floating images, for the rows that are asked for.

import { native, type NativeArray, type NativeDtype, type NativeTensor } from "../../lib/native/surface";
import { runNative } from "../../lib/native/call";
import { libraryFailureOf } from "../models/resnet/tiny-network";

const shape = [3, 2, 4, 5];
const plane = 20;
const mean = [0.485, 0.456];
const std = [0.229, 0.224];
const bytes = Uint8Array.from({ length: 3 * 2 * plane }, (_, i) => (i * 37) % 256);

function normalize(data: NativeArray, dtype: NativeDtype, options: object = {}): Promise<NativeTensor> {
  const images = new (native().Tensor)(data, shape, dtype);
  const checked = { start: 0, end: 3, mean, std, ...options };
  return runNative(undefined, (control) => native().normalizeImages(control, images, checked));
}

test.each<[NativeDtype, NativeArray, number]>([
  ["uint8", bytes, 255],
  ["float32", Float32Array.from(bytes, (value) => value / 255), 1],
  ["float64", Float64Array.from(bytes, (value) => value / 255), 1],
])("%s: rows from start to before end, plane after plane", async (dtype, data, scale) => {
  for (const [start, end] of [
    [0, 3],
    [1, 2],
    [2, 2],
  ] as const) {
    // prettier-ignore
    const found = await normalize(data, dtype, { start, end });
    expect([found.dtype, found.shape]).toEqual(["float32", [end - start, 2, 4, 5]]);
    const wanted = Array.from(data.subarray(start * 2 * plane, end * 2 * plane) as Float32Array, (value, i) => {
      const channel = Math.floor(i / plane) % 2;
      return (value / scale - (mean[channel] as number)) / (std[channel] as number);
    });
    // Three roundings of float32.
    found.toTypedArray().forEach((value, i) => expect(Math.abs(Number(value) - (wanted[i] as number))).toBeLessThan(1e-6));
    found.dispose();
  }
});

test("NaN and infinity, and what does not fit", async () => {
  for (const bad of [NaN, Infinity]) {
    const data = new Float32Array(120);
    data[2 * 40 + 7] = bad;
    expect((await normalize(data, "float32", { end: 2 })).shape).toEqual([2, 2, 4, 5]);
    expect(await libraryFailureOf(() => normalize(data, "float32", { start: 1 }))).toMatchObject({
      code: "ERR_NON_FINITE",
      message: expect.stringContaining("row 1") as string,
    });
  }
  expect(await libraryFailureOf(() => normalize(bytes, "uint8", { end: 4 }))).toMatchObject({ code: "ERR_RANGE" });
  expect(await libraryFailureOf(() => normalize(bytes, "uint8", { mean: [0] }))).toMatchObject({ code: "ERR_SHAPE" });
});
