// float16 and bfloat16: bit patterns against NumPy's and ml_dtypes', every tie, and the files of both.

import { readFileSync } from "node:fs";
import { halfBits, halfValues, type HalfDtype } from "../../lib/formats/half";
import { NpyWriter, readNpy } from "../../lib/formats/npy";
import { parseSafetensors, toValues } from "../../lib/formats/safetensors";
import { libraryFailureOf } from "../models/resnet/tiny-network";
import reference from "../reference/files_half.json";
import { temporaryDirectory } from "../support/temporary-directory";

const directory = temporaryDirectory();
const parsed = (texts: readonly string[]): Float32Array =>
  Float32Array.from(texts, (text) => Number(text.endsWith("inf") ? `${text.slice(0, -3)}Infinity` : text));
const bytes = (base64: string): Buffer => Buffer.from(base64, "base64");

test("the bit patterns that NumPy and ml_dtypes round to", () => {
  expect(Array.from(halfBits("float16", parsed(reference.numbers), "numbers"))).toEqual(reference.float16);
  expect(Array.from(halfBits("bfloat16", parsed(reference.brainNumbers), "numbers"))).toEqual(reference.bfloat16);
});

describe.each<[HalfDtype, infinity: number]>([
  ["float16", 0x7c00],
  ["bfloat16", 0x7f80],
])("%s", (dtype, infinity) => {
  const patterns = Uint16Array.from({ length: infinity }, (_, bits) => bits);
  const numbers = Float64Array.from(halfValues(dtype, patterns));

  test("every number is its own nearest, of either sign", () => {
    expect(halfBits(dtype, numbers, "numbers")).toEqual(patterns);
    expect(
      halfBits(
        dtype,
        numbers.map((value) => -value),
        "numbers",
      ),
    ).toEqual(patterns.map((bits) => bits | 0x8000));
  });

  test("half way between two numbers the even pattern; just beside it, the nearer one", () => {
    const middles = Float64Array.from(numbers.subarray(1), (value, i) => ((numbers[i] as number) + value) / 2);
    const wrong = (found: Uint16Array, expected: (i: number) => number) => Array.from(found).filter((bits, i) => bits !== expected(i));
    expect(wrong(halfBits(dtype, middles, "numbers"), (i) => (i % 2 === 0 ? i : i + 1))).toEqual([]);
    const step = 2 ** -40;
    expect(
      wrong(
        halfBits(
          dtype,
          middles.map((value) => value * (1 - step)),
          "numbers",
        ),
        (i) => i,
      ),
    ).toEqual([]);
    expect(
      wrong(
        halfBits(
          dtype,
          middles.map((value) => value * (1 + step)),
          "numbers",
        ),
        (i) => i + 1,
      ),
    ).toEqual([]);
  });

  test("a finite number that would become infinite is refused by its place; infinity and NaN stay", () => {
    const largest = numbers.at(-1) as number;
    const limit = largest + (largest - (numbers.at(-2) as number)) / 2; // half way to what would come next
    expect(halfBits(dtype, Float64Array.of(limit * (1 - 2 ** -40)), "numbers")[0]).toBe(infinity - 1);
    for (const value of [limit, -limit, Number.MAX_VALUE]) {
      expect(() => halfBits(dtype, Float64Array.of(0, value), "features")).toThrow(
        `features: expected numbers that ${dtype} holds, found ${value} as element 1`,
      );
    }
    expect(Array.from(halfBits(dtype, Float32Array.of(Infinity, -Infinity), "numbers"))).toEqual([infinity, infinity | 0x8000]);
    expect(halfValues(dtype, halfBits(dtype, Float32Array.of(NaN), "numbers"))).toEqual(Float32Array.of(NaN));
    expect(Array.from(halfBits(dtype, Float64Array.of(5e-324, -5e-324), "numbers"))).toEqual([0, 0x8000]);
  });
});

test.each(Object.entries(reference.npy))("NumPy's file of %s", async (name, base64) => {
  const { dtype, shape, data } = await readNpy(directory.put(`${name}.npy`, bytes(base64)));
  expect([dtype, shape, Array.from(data as Float32Array)]).toEqual(["float32", [5, 3], reference.matrix]);
});

test("safetensors' file of F16, BF16 and U8", () => {
  const { tensors } = parseSafetensors(bytes(reference.tensors));
  const numbers = (name: "features" | "logits" | "labels"): number[] => {
    const { dtype, data } = tensors.get(name)!;
    return Array.from(toValues(dtype, data));
  };
  expect([numbers("features"), numbers("logits"), numbers("labels")]).toEqual([reference.matrix, reference.logits, [0, 1, 255, 2, 1]]);
});

describe("NpyWriter of float16", () => {
  test.each([Float32Array, Float64Array])("NumPy's bytes, from a %p", async (kind) => {
    const path = directory.path("written.npy");
    const writer = await NpyWriter.open(path, "float16", [3]);
    await writer.write(kind.from(reference.written.from.slice(0, 6)));
    await writer.write(kind.from(reference.written.from.slice(6)));
    await writer.commit();
    expect(readFileSync(path).equals(bytes(reference.written.base64))).toBe(true);
  });

  test("many numbers at once, as piece by piece", async () => {
    const values = Float32Array.from({ length: 700_000 }, (_, i) => Math.sin(i));
    const path = directory.path("long.npy");
    const writer = await NpyWriter.open(path, "float16", []);
    await writer.write(values);
    await writer.commit();
    expect((await readNpy(path)).data).toEqual(halfValues("float16", halfBits("float16", values, "values")));
  });

  test("what is no float, and what float16 does not hold", async () => {
    const writer = await NpyWriter.open(directory.path("refused.npy"), "float16", []);
    const other = await libraryFailureOf(() => writer.write(new Uint16Array(2) as never));
    expect([other.code, other.message]).toEqual(["ERR_DTYPE", expect.stringContaining("expected a Float32Array or Float64Array")]);
    const large = await libraryFailureOf(() => writer.write(Float32Array.of(1, 70_000)));
    expect([large.code, large.message]).toEqual(["ERR_RANGE", expect.stringContaining("found 70000 as element 1")]);
    await expect(libraryFailureOf(() => writer.commit())).resolves.toBe(large);
  });
});
