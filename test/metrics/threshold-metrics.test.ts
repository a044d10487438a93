// AUROC, AUPR, FPR, false positives and curves against scikit-learn and exact rational arithmetic (test/reference/metrics.py),
// and as properties.

import * as fc from "fast-check";
import expected from "../reference/metrics.json";
import { aupr, auroc, falsePositivesAmongTop, fprAtTpr, prCurve, rocCurve } from "../../lib/metrics";

const scores = fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), {
  minLength: 1,
  maxLength: 40,
});
const tiedScores = fc.array(fc.integer({ min: -4, max: 4 }), {
  minLength: 1,
  maxLength: 40,
});
/** All pairs, the definition. */
const pairs = (id: number[], ood: number[]): number => {
  let twice = 0;
  for (const a of id) for (const b of ood) twice += a > b ? 2 : a === b ? 1 : 0;
  return twice / 2 / (id.length * ood.length);
};

describe.each(expected.cases)("$name", (c) => {
  test("auroc, exactly", () => {
    expect(auroc(c.id, c.ood)).toBe(c.auroc);
    expect(auroc(Float64Array.from(c.id), Float64Array.from(c.ood))).toBe(c.auroc);
    expect(auroc(c.id, c.ood)).toBeCloseTo(c.auroc_sklearn, 13);
  });

  test("aupr, both positives and both estimators", () => {
    expect(aupr(c.id, c.ood)).toBeCloseTo(c.ap_in, 13);
    expect(aupr(c.id, c.ood, { positive: "out" })).toBeCloseTo(c.ap_out, 13);
    expect(aupr(c.id, c.ood, { estimator: "trapezoid" })).toBeCloseTo(c.trapezoid_in, 13);
    expect(aupr(c.id, c.ood, { positive: "out", estimator: "trapezoid" })).toBeCloseTo(c.trapezoid_out, 13);
  });

  test.each(Object.entries(c.fpr))("fpr at tpr %s, both directions", (tpr, rates) => {
    expect(fprAtTpr(c.id, c.ood, { tpr: Number(tpr), positive: "out" })).toBeCloseTo(rates.out, 15);
    expect(fprAtTpr(c.id, c.ood, { tpr: Number(tpr), positive: "in" })).toBeCloseTo(rates.in, 15);
  });

  test("false positives among the top scores", () => {
    expect(falsePositivesAmongTop(c.id, c.ood)).toBeCloseTo(c.top_false_positives, 12);
  });

  test("roc and pr curves", () => {
    const roc = rocCurve(c.id, c.ood);
    expect(Array.from(roc.falsePositiveRate)).toEqual(c.roc.fpr);
    expect(Array.from(roc.truePositiveRate)).toEqual(c.roc.tpr);
    expect(roc.thresholds[0]).toBe(Infinity);
    expect(Array.from(roc.thresholds.slice(1), (x) => x + 0)).toEqual(c.roc.thresholds.map((x) => x + 0));
    for (const [curve, wanted] of [
      [prCurve(c.id, c.ood), c.pr],
      [prCurve(c.id, c.ood, { positive: "out" }), c.pr_out],
    ] as const) {
      expect(Array.from(curve.precision)).toEqual(wanted.precision);
      expect(Array.from(curve.recall)).toEqual(wanted.recall);
      expect(Array.from(curve.thresholds, (x) => x + 0)).toEqual(wanted.thresholds.map((x) => x + 0));
    }
  });
});

test("auroc equals its definition over all pairs, for any scores", () => {
  fc.assert(fc.property(scores, scores, (id, ood) => auroc(id, ood) === pairs(id, ood)));
  fc.assert(fc.property(tiedScores, tiedScores, (id, ood) => auroc(id, ood) === pairs(id, ood)));
});

test("auroc does not change under a strictly increasing map, and swapping the sets gives 1 - auroc", () => {
  fc.assert(
    fc.property(tiedScores, tiedScores, (id, ood) => {
      const cube = (x: number): number => x ** 3 * 1e12 - 7e14;
      expect(auroc(id.map(cube), ood.map(cube))).toBe(auroc(id, ood));
      expect(auroc(ood, id)).toBeCloseTo(1 - auroc(id, ood), 14);
    }),
  );
});

test("scores of magnitude 1e15 that differ by their last unit are told apart (trap 1)", () => {
  expect(auroc([-1e15 + 1, -1e15 + 1], [-1e15])).toBe(1);
  expect(auroc([-1e15 + 1, -1e15], [-1e15])).toBe(0.75);
});

test("a score that is +0 ties with one that is -0", () => {
  expect(auroc([0, -0], [-0, 0])).toBe(0.5);
  expect(falsePositivesAmongTop([0], [-0])).toBe(0.5);
});

describe("a million scores with ties take O(n log n)", () => {
  const n = 500_000;
  const id = Float64Array.from({ length: n }, (_, i) => (i * 7919) % 100_003);
  const ood = Float64Array.from({ length: n }, (_, i) => (i * 104_729) % 100_003);
  const timed = <T>(call: () => T): T => {
    const started = performance.now();
    const value = call();
    expect(performance.now() - started).toBeLessThan(5_000); // all pairs would be 2.5e11 comparisons
    return value;
  };

  // Both sets have nearly the same scores, so that half of the positives are found at any rate of false ones.
  test.each([
    ["auroc", auroc, 0.5],
    ["aupr", aupr, 0.5],
    ["fprAtTpr", fprAtTpr, 0.95],
    ["falsePositivesAmongTop", (a: Float64Array, b: Float64Array) => falsePositivesAmongTop(a, b) / n, 0.5],
  ] as const)("%s", (_, metric, expected) => {
    expect(Math.abs(timed(() => metric(id, ood)) - expected)).toBeLessThan(0.01);
  });

  test("curves", () => {
    expect(timed(() => rocCurve(id, ood)).thresholds).toHaveLength(100_004);
    expect(timed(() => prCurve(id, ood)).precision.length).toBeGreaterThan(100_000);
  });
});

test("float32, integer and plain arrays are accepted and left as they were", () => {
  const id = Float32Array.of(3, 1, 2);
  const ood = Int32Array.of(2, 0);
  expect(auroc(id, ood)).toBe(0.75);
  expect(Array.from(id)).toEqual([3, 1, 2]);
  expect(Array.from(ood)).toEqual([2, 0]);
});

const everyMetric = {
  auroc,
  aupr,
  fprAtTpr,
  falsePositivesAmongTop,
  rocCurve,
  prCurve,
} as const;
describe.each(Object.entries(everyMetric))("%s refuses", (_, metric) => {
  test.each([NaN, Infinity, -Infinity])("%p (trap 3)", (bad) => {
    expect(() => metric([1, bad], [0])).toThrow(
      expect.objectContaining({
        code: "ERR_NON_FINITE",
        message: expect.stringContaining("[1]"),
      }),
    );
    expect(() => metric([1], [0, 1, bad])).toThrow(expect.objectContaining({ code: "ERR_NON_FINITE" }));
  });
  test("empty lists", () => {
    expect(() => metric([], [0])).toThrow(expect.objectContaining({ code: "ERR_SHAPE" }));
    expect(() => metric([0], new Float64Array(0))).toThrow(expect.objectContaining({ code: "ERR_SHAPE" }));
  });
  test("anything but numbers", () => {
    for (const bad of [
      undefined,
      null,
      "12",
      5,
      { length: 1 },
      new BigInt64Array(2),
      new DataView(new ArrayBuffer(8)),
      ["1"],
      Object.assign(new Array<number>(2), { 1: 1 }),
    ]) {
      expect(() => metric(bad as never, [0])).toThrow(expect.objectContaining({ code: "ERR_DTYPE" }));
    }
  });
});

test("options are checked", () => {
  const refused = (code: string) => expect.objectContaining({ code });
  expect(() => aupr([1], [0], { positve: "in" } as never)).toThrow(refused("ERR_OPTION"));
  expect(() => aupr([1], [0], { positive: "ood" as never })).toThrow(refused("ERR_OPTION"));
  expect(() => aupr([1], [0], { estimator: "auc" as never })).toThrow(refused("ERR_OPTION"));
  expect(() => fprAtTpr([1], [0], { tpr: 0 })).toThrow(refused("ERR_RANGE"));
  expect(() => fprAtTpr([1], [0], { tpr: 1.01 })).toThrow(refused("ERR_RANGE"));
  expect(() => fprAtTpr([1], [0], { tpr: NaN })).toThrow(refused("ERR_NON_FINITE"));
  expect(() => rocCurve([1], [0], { positive: 1 as never })).toThrow(refused("ERR_OPTION"));
});
