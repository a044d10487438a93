import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { Dataset, computeNormalization, normalizations, type DatasetArrays } from "../../lib/data";
import { bounded, randomPermutation } from "../../lib/core/random-permutation";
import { seededUint32 } from "../../lib/core/random";

interface Reference {
  permutations: { length: number; seed: number; order: number[] }[];
  draws: { bound: number; draws: number[] }[];
  splits: { length: number; count: number; seed: number; validation: number[]; hash: string }[];
}
const reference = JSON.parse(readFileSync(join(__dirname, "../reference/files_permutation.json"), "utf8")) as Reference;

const code = (expected: string): Error => expect.objectContaining({ code: expected, name: "LibtorchOodError" }) as Error;

/** N images of 1×1×2 pixels (i, 255 − i) with the labels i mod 3. */
function numbered(length: number): Dataset {
  const images = Uint8Array.from({ length: 2 * length }, (_, i) => (i % 2 ? 255 - (i >> 1) : i >> 1));
  return Dataset.fromArrays({ images, labels: Array.from({ length }, (_, i) => i % 3), shape: [1, 1, 2], classNames: ["a", "b", "c"] });
}

describe("fromArrays", () => {
  const good = (): DatasetArrays => ({ images: new Uint8Array(12), labels: [0, 2], shape: [3, 1, 2] });

  test("holds what it was given, without a copy", () => {
    const images = Uint8Array.from({ length: 12 }, (_, i) => i);
    const labels = Int32Array.of(1, 0);
    const data = Dataset.fromArrays({
      images,
      labels,
      shape: [3, 1, 2],
      classNames: ["x", "y", "z"],
      name: "two",
      normalization: normalizations.cifar10,
    });
    expect(data).toMatchObject({
      name: "two",
      length: 2,
      shape: [3, 1, 2],
      classNames: ["x", "y", "z"],
      normalization: normalizations.cifar10,
    });
    expect(data.images).toBe(images);
    expect(data.labels).toBe(labels);
    expect(Array.from(data.image(1))).toEqual([6, 7, 8, 9, 10, 11]);
    expect(data.image(1).buffer).toBe(images.buffer);
  });

  test("its fields cannot be changed, nor can the caller's shape and names change it", () => {
    const classNames = ["x", "y", "z"];
    const shape = [3, 1, 2];
    const data = Dataset.fromArrays({ ...good(), classNames, shape });
    classNames[0] = "other";
    shape[0] = 1;
    expect(data).toMatchObject({ classNames: ["x", "y", "z"], shape: [3, 1, 2] });
    expect(() => {
      (data as { name: string }).name = "other";
    }).toThrow(TypeError);
    expect(() => {
      (data.shape as unknown as number[])[0] = 1;
    }).toThrow(TypeError);
  });

  test("defaults: classes by number up to the greatest label, no normalisation", () => {
    expect(Dataset.fromArrays(good())).toMatchObject({ name: "images", classNames: ["0", "1", "2"], normalization: undefined });
  });

  test.each([new Uint8Array([0, 2]), new Float64Array([0, 2]), new Int32Array([0, 2]), [0, 2]])("labels as %p", (labels) => {
    const data = Dataset.fromArrays({ ...good(), labels });
    expect(data.labels).toEqual(Int32Array.of(0, 2));
  });

  test("clamped bytes and a Buffer are bytes", () => {
    expect(Dataset.fromArrays({ ...good(), images: new Uint8ClampedArray(12).fill(7) }).images).toEqual(new Uint8Array(12).fill(7));
    expect(Dataset.fromArrays({ ...good(), images: Buffer.alloc(12) }).length).toBe(2);
  });

  test.each<[string, Partial<Record<keyof DatasetArrays, unknown>>, string]>([
    ["float images", { images: new Float32Array(12) }, "ERR_DTYPE"],
    ["a plain array of pixels", { images: new Array(12).fill(0) }, "ERR_DTYPE"],
    ["an ArrayBuffer", { images: new ArrayBuffer(12) }, "ERR_DTYPE"],
    ["no images", { images: new Uint8Array(0), labels: [] }, "ERR_SHAPE"],
    ["a part of an image", { images: new Uint8Array(13) }, "ERR_SHAPE"],
    ["a label too few", { labels: [0] }, "ERR_SHAPE"],
    ["a label too many", { labels: [0, 1, 2] }, "ERR_SHAPE"],
    ["two dimensions", { shape: [3, 2] }, "ERR_SHAPE"],
    ["a size of zero", { shape: [0, 1, 2] }, "ERR_SHAPE"],
    ["a fractional size", { shape: [1.5, 1, 2] }, "ERR_SHAPE"],
    ["no shape", { shape: undefined }, "ERR_SHAPE"],
    ["a fractional label", { labels: [0, 0.5] }, "ERR_RANGE"],
    ["a NaN label", { labels: new Float32Array([0, NaN]) }, "ERR_RANGE"],
    ["a negative label", { labels: Int32Array.of(0, -1) }, "ERR_RANGE"],
    ["a string label", { labels: ["0", "1"] }, "ERR_RANGE"],
    ["a label without a class", { classNames: ["a", "b"] }, "ERR_RANGE"],
    ["a class beyond reason", { labels: [0, 2 ** 31 - 1] }, "ERR_RANGE"],
    ["a DataView as labels", { labels: new DataView(new ArrayBuffer(2)) }, "ERR_OPTION"],
    ["no class names", { classNames: [] }, "ERR_OPTION"],
    ["a class name twice", { classNames: ["a", "b", "a"] }, "ERR_OPTION"],
    ["a class name that is a number", { classNames: ["a", "b", 3] }, "ERR_OPTION"],
    ["a name that is no string", { name: 1 }, "ERR_OPTION"],
    ["an unknown key", { clasNames: ["a"] } as never, "ERR_OPTION"],
    ["normalisation of another number of channels", { normalization: normalizations.mnist }, "ERR_SHAPE"],
    ["a std of zero", { normalization: { mean: [0, 0, 0], std: [1, 0, 1] } }, "ERR_RANGE"],
    ["a mean that is no number", { normalization: { mean: [0, NaN, 0], std: [1, 1, 1] } }, "ERR_NON_FINITE"],
    ["normalisation that is none", { normalization: 3 }, "ERR_OPTION"],
    ["normalisation without std", { normalization: { mean: [0, 0, 0] } }, "ERR_OPTION"],
  ])("refuses %s", (_, change, expected) => {
    expect(() => Dataset.fromArrays({ ...good(), ...change } as DatasetArrays)).toThrow(code(expected));
  });

  test.each([undefined, null, 3, []])("refuses %p in place of the arrays", (arrays) => {
    expect(() => Dataset.fromArrays(arrays as never)).toThrow(code("ERR_OPTION"));
  });

  test("says what was found and what was expected", () => {
    expect(() => Dataset.fromArrays({ ...good(), labels: [0, 3], classNames: ["a", "b", "c"] })).toThrow(
      "labels[1]: expected an integer from 0 to 2, found 3",
    );
  });
});

describe("subset", () => {
  test("the first n are views of the same memory", () => {
    const data = numbered(10).withNormalization(normalizations.mnist);
    const first = data.subset(4);
    expect(first).toMatchObject({ length: 4, classNames: ["a", "b", "c"], normalization: normalizations.mnist });
    expect(first.images.buffer).toBe(data.images.buffer);
    expect(Array.from(first.labels)).toEqual([0, 1, 2, 0]);
  });

  test("indices in any order, one twice: copies", () => {
    const data = numbered(10);
    const some = data.subset([9, 0, 9]);
    expect(Array.from(some.images)).toEqual([9, 246, 0, 255, 9, 246]);
    expect(Array.from(some.labels)).toEqual([0, 0, 0]);
    expect(some.images.buffer).not.toBe(data.images.buffer);
  });

  test.each<[unknown, string]>([
    [0, "ERR_RANGE"],
    [11, "ERR_RANGE"],
    [1.5, "ERR_OPTION"],
    [[], "ERR_SHAPE"],
    [[10], "ERR_RANGE"],
    [[-1], "ERR_RANGE"],
    [[0.5], "ERR_OPTION"],
    [["0"], "ERR_OPTION"],
    ["ab", "ERR_OPTION"],
    [undefined, "ERR_OPTION"],
  ])("refuses %p", (selection, expected) => {
    expect(() => numbered(10).subset(selection as number)).toThrow(code(expected));
  });

  test("image() refuses an index that is not there", () => {
    expect(() => numbered(10).image(10)).toThrow(code("ERR_RANGE"));
    expect(() => numbered(10).image(-1)).toThrow(code("ERR_RANGE"));
  });
});

describe("randomPermutation", () => {
  test.each(reference.permutations)("equals the reference for length $length, seed $seed", ({ length, seed, order }) => {
    expect(Array.from(randomPermutation(length, seed))).toEqual(order);
  });

  test.each(reference.draws)("draws below $bound are those of exact integers", ({ bound, draws }) => {
    const random = seededUint32(99);
    expect(draws.map(() => bounded(random, bound))).toEqual(draws);
  });

  test("bounded() has the exact high word at the edges of every product", () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 32 - 1 }), fc.integer({ min: 1, max: 2 ** 32 - 1 }), (draw, bound) => {
        const draws = [draw, 0x9e3779b9, 0xffffffff, 1, 0x80000001];
        const usable = draws.find((value) => (BigInt(value) * BigInt(bound)) % 2n ** 32n >= BigInt(2 ** 32 % bound));
        fc.pre(usable !== undefined);
        expect(bounded(() => draws.shift() as number, bound)).toBe(Number((BigInt(usable as number) * BigInt(bound)) >> 32n));
      }),
      { numRuns: 2000, seed: 3 },
    );
  });

  test("every order of four comes equally often", () => {
    const counts = new Map<string, number>();
    const rounds = 24_000;
    for (let seed = 0; seed < rounds; seed++) {
      const order = randomPermutation(4, seed).join("");
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    const chiSquare = [...counts.values()].reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
    expect(counts.size).toBe(24);
    expect(chiSquare).toBeLessThan(49.7); // 0.999 quantile of chi-square with 23 degrees of freedom
  });
});

describe("split", () => {
  test.each(reference.splits)(
    "$length images, seed $seed: the reference's validation part and hash",
    ({ length, count, seed, validation, hash }) => {
      const data = Dataset.fromArrays({ images: new Uint8Array(length), labels: new Uint8Array(length), shape: [1, 1, 1] });
      const split = data.split(count / length, seed);
      expect(Array.from(split.validationIndices.subarray(0, 20))).toEqual(validation);
      expect(split.indexHash).toBe(hash);
      expect(split.validation.length).toBe(count);
    },
  );

  test("every image is in one part, with its label; names, shape and normalisation go along", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 120 }),
        fc.integer({ min: 0, max: 1000 }).map((thousandths) => thousandths / 1000),
        fc.nat(),
        (length, fraction, seed) => {
          const count = Math.round(fraction * length);
          fc.pre(count >= 1 && count <= length - 1);
          const { train, validation, validationIndices } = numbered(length).withNormalization(normalizations.mnist).split(fraction, seed);
          expect(validation.length).toBe(count);
          const ids = (part: Dataset): number[] => Array.from({ length: part.length }, (_, i) => part.image(i)[0] as number);
          expect(ids(validation)).toEqual(Array.from(validationIndices));
          const all = [...ids(train), ...ids(validation)].sort((a, b) => a - b);
          expect(all).toEqual(Array.from({ length }, (_, i) => i));
          for (const part of [train, validation]) {
            expect(Array.from(part.labels)).toEqual(ids(part).map((id) => id % 3));
            expect(part).toMatchObject({ classNames: ["a", "b", "c"], shape: [1, 1, 2], normalization: normalizations.mnist });
          }
        },
      ),
      { numRuns: 100, seed: 2 },
    );
  });

  test("the hash tells seeds, lengths and fractions apart, and not the pixels", () => {
    const hash = (length: number, fraction: number, seed: number): string => numbered(length).split(fraction, seed).indexHash;
    expect(hash(50, 0.1, 1)).toBe(hash(50, 0.1, 1));
    expect(new Set([hash(50, 0.1, 1), hash(50, 0.1, 2), hash(50, 0.2, 1), hash(51, 0.1, 1)]).size).toBe(4);
  });

  test.each<[unknown, unknown, string]>([
    [0, 1, "ERR_RANGE"],
    [0.04, 1, "ERR_RANGE"],
    [0.96, 1, "ERR_RANGE"],
    [1, 1, "ERR_RANGE"],
    [-0.1, 1, "ERR_RANGE"],
    [NaN, 1, "ERR_NON_FINITE"],
    ["0.1", 1, "ERR_OPTION"],
    [0.1, -1, "ERR_RANGE"],
    [0.1, 2 ** 32, "ERR_RANGE"],
    [0.1, 1.5, "ERR_OPTION"],
    [0.1, undefined, "ERR_OPTION"],
  ])("refuses fraction %p with seed %p", (fraction, seed, expected) => {
    expect(() => numbered(10).split(fraction as number, seed as number)).toThrow(code(expected));
  });
});

describe("computeNormalization", () => {
  test.each([null, undefined, {}, { images: [1, 2], shape: [1, 1, 2] }, { images: Uint8Array.of(1), shape: [1] }])(
    "%j is refused",
    (data) => {
      expect(() => computeNormalization(data as never)).toThrow(expect.objectContaining({ code: "ERR_OPTION" }));
    },
  );

  test("per channel, from pixels scaled to 0 … 1", () => {
    const { mean, std } = computeNormalization({ images: Uint8Array.of(0, 255, 10, 30, 255, 0, 20, 40), shape: [2, 1, 2] });
    expect(mean[0]).toBe(0.5);
    expect(std[0]).toBe(0.5);
    expect(mean[1]).toBeCloseTo(25 / 255, 15);
    expect(std[1]).toBeCloseTo(Math.sqrt(125) / 255, 15);
  });

  test("equals the two-pass formula on any images, to the last digits", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 12, maxLength: 600 }), (bytes) => {
        const images = bytes.subarray(0, bytes.length - (bytes.length % 6));
        const channel = (c: number): number[] => Array.from(images).filter((_, i) => Math.floor(i / 2) % 3 === c);
        fc.pre([0, 1, 2].every((c) => new Set(channel(c)).size > 1));
        const { mean, std } = computeNormalization({ images, shape: [3, 1, 2] });
        [0, 1, 2].forEach((c) => {
          const values = channel(c).map((value) => value / 255);
          const average = values.reduce((a, b) => a + b) / values.length;
          const variance = values.reduce((a, b) => a + (b - average) ** 2, 0) / values.length;
          expect(Math.abs((mean[c] as number) - average)).toBeLessThan(1e-14);
          expect(Math.abs((std[c] as number) - Math.sqrt(variance))).toBeLessThan(1e-14);
        });
      }),
      { numRuns: 100, seed: 4 },
    );
  });

  test("the spread of one pixel among many of another bright value is not lost (trap 4)", () => {
    const pixels = 1 << 20;
    const images = new Uint8Array(pixels).fill(254);
    images[7] = 255;
    const std = Math.sqrt((1 - 1 / pixels) / pixels) / 255;
    // The mean is rounded at 1e-14 of 254, a thousandth of what it differs by; E[x²] − E[x]² would be 1e-5 off.
    expect((computeNormalization({ images, shape: [1, 1, pixels] }).std[0] as number) / std).toBeCloseTo(1, 12);
  });

  test("no images, or one value everywhere", () => {
    expect(() => computeNormalization({ images: new Uint8Array(0), shape: [1, 1, 1] })).toThrow(code("ERR_SHAPE"));
    expect(() => computeNormalization({ images: new Uint8Array(7), shape: [1, 1, 2] })).toThrow(code("ERR_SHAPE"));
    expect(() => computeNormalization({ images: Uint8Array.of(1, 2, 7, 7), shape: [2, 1, 2] })).toThrow(
      "images: expected more than one value in channel 1, found 7 everywhere",
    );
  });
});
