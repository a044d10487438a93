// SeenInputs: all of a small set, a fair sample of a large one, whatever the order in which sets are joined; and files that are not trusted.

import * as fc from "fast-check";
import { datasets } from "../../lib";
import { judgeOverlap } from "../../lib/core/overlap";
import { SeenInputs, type Rows } from "../../lib/data/seen-inputs";
import { libraryFailureOf, tinyData } from "../models/resnet/tiny-network";

/** A row per number. */
const rows = (numbers: readonly number[]): Rows => ({
  count: numbers.length,
  row: (index) => new Uint8Array(Uint32Array.of(numbers[index] as number).buffer),
});
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
const of = (numbers: readonly number[]) => SeenInputs.of(rows(numbers));

test("of up to 65,536 inputs it finds exactly those that were there, also joined and through a file (property)", async () => {
  const numbers = fc.array(fc.nat(60), { maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(numbers, numbers, numbers, async (a, b, queries) => {
      const joined = (await of(a)).join(await of(b));
      const stored = SeenInputs.parse((JSON.parse(JSON.stringify({ seen: joined })) as { seen?: unknown }).seen) as SeenInputs;
      const expected = queries.flatMap((query, i) => (a.includes(query) || b.includes(query) ? [i] : []));
      for (const set of [joined, (await of(b)).join(await of(a)), stored]) {
        expect(await set.among(rows(queries))).toEqual({ indices: expected, checked: queries.length });
      }
    }),
    { numRuns: 100, seed: 3 },
  );
});

describe("of 150,000 inputs", () => {
  let whole: SeenInputs;
  beforeAll(async () => {
    whole = await of(range(0, 150_000));
  });

  test("a sample: of those it can tell, every one that was there and no other", async () => {
    const { indices, checked } = await whole.among(rows(range(149_000, 151_000)));
    // It can tell 65,536 of 150,000, so 874 of 2,000; 6 standard deviations are 133. Half of the queries were there.
    expect(Math.abs(checked - 874)).toBeLessThan(133);
    expect(Math.abs(indices.length - checked / 2)).toBeLessThan(6 * Math.sqrt(checked / 4));
    expect(indices.every((index) => index < 1000)).toBe(true);
    expect(await whole.among(rows(range(200_000, 201_000)))).toMatchObject({ indices: [] });
    // Nothing is missed: of those that were there, as many are found as can be told, which is as many as are kept.
    const there = await whole.among(rows(range(0, 150_000)));
    expect(there.indices).toHaveLength(there.checked);
    expect(there.checked).toBe(65_536);
  });

  test("does not depend on how the inputs came together", async () => {
    const parts = [range(0, 90_000), range(80_000, 150_000), range(10, 20)];
    const [first, second, third] = (await Promise.all(parts.map(of))) as [SeenInputs, SeenInputs, SeenInputs];
    for (const joined of [first.join(second).join(third), third.join(second).join(first), SeenInputs.none.join(whole)]) {
      expect(joined.toJSON()).toEqual(whole.toJSON());
    }
  });

  test("joined to a sample of fewer hashes, as another version may keep, it tells only what both can tell", async () => {
    const { hashes } = (await of(range(0, 2000))).toJSON() as { hashes: string };
    const few = Buffer.from(hashes, "base64").subarray(0, 8 * 10);
    const sample = SeenInputs.parse({ hashes: few.toString("base64"), complete: false }) as SeenInputs;
    const queries = rows(range(0, 2000));
    const told = await sample.among(queries);
    expect(told).toMatchObject({ checked: 10, indices: { length: 10 } });
    const small = await of(range(100, 200));
    for (const joined of [sample.join(small), small.join(sample), sample.join(whole), whole.join(sample)]) {
      expect(await joined.among(queries)).toEqual(told);
    }
  });

  test("takes 700 kB in a file", () => {
    expect(JSON.stringify(whole).length).toBeLessThan(700_000);
  });
});

test("of exactly 65,536 inputs it can still tell everything, of one more not", async () => {
  expect((await of(range(0, 65_536))).toJSON()).toMatchObject({ complete: true });
  expect((await of(range(0, 65_537))).toJSON()).toMatchObject({ complete: false });
});

test("a row is known by all of its bytes and their order", async () => {
  const row = Uint8Array.from({ length: 300 }, (_, i) => (i * i) % 251);
  const changed = Array.from(row.keys(), (at) => row.map((byte, i) => (i === at ? byte ^ 1 : byte)));
  const others = [...changed, row.slice().reverse(), row.subarray(1), row.subarray(0, 299)];
  const set = await SeenInputs.of({ count: 1, row: () => row });
  const all = [...others, row];
  expect(await set.among({ count: all.length, row: (index) => all[index] as Uint8Array })).toEqual({
    indices: [others.length],
    checked: all.length,
  });
});

test.each([
  ["a text", "AAAA"],
  ["no hashes", { hashes: "", complete: true }],
  ["no base64", { hashes: "not base64!", complete: true }],
  ["half of a hash", { hashes: Buffer.alloc(12).toString("base64"), complete: true }],
  ["one hash twice", { hashes: Buffer.alloc(16).toString("base64"), complete: true }],
  ["descending", { hashes: Buffer.from(BigUint64Array.of(2n, 1n).buffer).toString("base64"), complete: true }],
  [
    "too many",
    { hashes: Buffer.from(BigUint64Array.from({ length: 65_537 }, (_, i) => BigInt(i)).buffer).toString("base64"), complete: true },
  ],
  ["complete or not", { hashes: Buffer.alloc(8).toString("base64"), complete: 1 }],
])("refused: %s", (_, value) => {
  expect(SeenInputs.parse(value)).toBeUndefined();
});

test("nothing stored is nothing seen", async () => {
  expect(SeenInputs.none.toJSON()).toBeUndefined();
  for (const value of [undefined, null]) expect(SeenInputs.parse(value)?.isEmpty).toBe(true);
  expect(await SeenInputs.none.among(rows([1, 2]))).toEqual({ indices: [], checked: 2 });
});

test("one image in 100 is warned of, more are refused unless they are allowed", async () => {
  const rules = { allowed: false, remedy: "take others", effect: "flatters", noun: "images" } as const;
  const overlap = (found: number) => ({ indices: range(7, 7 + found), checked: 200 });
  expect(judgeOverlap("digits", overlap(0), "trained on", rules)).toBeUndefined();
  for (const found of [1, 2]) {
    expect(judgeOverlap("digits", overlap(found), "trained on", rules)).toBe(
      `digits: ${found} of 200 (the first is number 7) images were trained on: the numbers flatter`,
    );
  }
  // What is to be told apart and was trained on scores higher: AUROC falls.
  const worse = /images were trained on: they score higher than they should, and the numbers are worse than the truth$/;
  expect(judgeOverlap("digits", overlap(1), "trained on", { ...rules, effect: "worsens" })).toMatch(worse);
  expect(await libraryFailureOf(() => judgeOverlap("digits", overlap(3), "trained on", rules))).toMatchObject({
    code: "ERR_OPTION",
    message: "digits: expected images that were not trained on, found 3 of 200 (the first is number 7) that were; take others",
  });
  expect(judgeOverlap("digits", overlap(200), "trained on", { ...rules, allowed: true })).toMatch(/^digits: 200 of 200/);
  const rows = { ...rules, noun: "inputs" } as const;
  expect(judgeOverlap("rows", overlap(1), "fitted to", rows)).toMatch(/ inputs were fitted to: the numbers flatter$/);
  await expect(async () => judgeOverlap("rows", overlap(3), "fitted to", rows)).rejects.toThrow(
    "rows: expected inputs that were not fitted to",
  );
});

test("datasets.overlap: each of several sets, by its own images", async () => {
  const data = tinyData(12);
  const [same, some, none] = [data.subset(12), data.subset([3, 11]), tinyData(4, "held")];
  const found = await datasets.overlap(data.subset([0, 1, 2, 3]), [same, some, none]);
  expect(found).toEqual([
    { indices: [0, 1, 2, 3], checked: 12 },
    { indices: [0], checked: 2 },
    { indices: [], checked: 4 },
  ]);
  for (const wrong of [() => datasets.overlap(data, data as never), () => datasets.overlap(data, [{}] as never)]) {
    expect(await libraryFailureOf(wrong)).toMatchObject({ code: "ERR_OPTION", message: expect.stringMatching(/^sets/) as string });
  }
});
