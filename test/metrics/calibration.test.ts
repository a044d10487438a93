// Accuracy, calibration, temperature, scores of logits, bootstrap and summaries against scikit-learn, scipy and numpy.

import * as fc from "fast-check";
import expected from "../reference/metrics.json";
import * as metrics from "../../lib/metrics";

const refused = (code: string) => expect.objectContaining({ code });

describe("accuracy and ece", () => {
  const { confidence, predictions, labels, ece, accuracy } = expected.calibration;
  test("accuracy", () => {
    expect(metrics.accuracy(predictions, labels)).toBe(accuracy);
    expect(metrics.accuracy(Int32Array.from(predictions), Uint8Array.from(labels))).toBe(accuracy);
  });
  test.each(Object.entries(ece))("ece with %s bins, confidences on the edges included", (bins, value) => {
    expect(metrics.ece(confidence, predictions, labels, { bins: Number(bins) })).toBeCloseTo(value, 13);
  });
  test("15 bins are the default, and every input is in one of them", () => {
    expect(metrics.ece(confidence, predictions, labels)).toBe(metrics.ece(confidence, predictions, labels, { bins: 15 }));
    const bins = metrics.reliability([0, ...confidence], [0, ...predictions], [0, ...labels]);
    expect(bins).toHaveLength(15);
    expect(bins.reduce((sum, bin) => sum + bin.count, 0)).toBe(confidence.length + 1);
  });
  test("refusals", () => {
    expect(() => metrics.accuracy([0, 1], [0])).toThrow(refused("ERR_SHAPE"));
    expect(() => metrics.accuracy([], [])).toThrow(refused("ERR_SHAPE"));
    expect(() => metrics.accuracy([0.5], [0])).toThrow(refused("ERR_DTYPE"));
    expect(() => metrics.accuracy([-1], [0])).toThrow(refused("ERR_RANGE"));
    expect(() => metrics.ece([1.1], [0], [0])).toThrow(refused("ERR_RANGE"));
    expect(() => metrics.ece([NaN], [0], [0])).toThrow(refused("ERR_NON_FINITE"));
    expect(() => metrics.ece([1, 1], [0], [0])).toThrow(refused("ERR_SHAPE"));
    expect(() => metrics.ece([1], [0], [0], { bins: 0 })).toThrow(refused("ERR_RANGE"));
  });
});

describe("temperature", () => {
  const { logits, shape, labels, temperature, nll_before, nll_after } = expected.temperature;
  test("equals scipy's root of the likelihood's slope", () => {
    const fit = metrics.fitTemperature({ data: logits, shape }, labels);
    expect(fit.temperature / temperature).toBeCloseTo(1, 10);
    expect(fit.nllBefore).toBeCloseTo(nll_before, 12);
    expect(fit.nllAfter).toBeCloseTo(nll_after, 12);
    expect(fit.atBound).toBe(false);
  });
  test("scales with the logits, over ten orders of magnitude", () => {
    for (const scale of [1e-5, 1e-2, 30, 1e5]) {
      const fit = metrics.fitTemperature({ data: logits.map((x) => x * scale), shape }, labels, { minimum: 1e-9, maximum: 1e9 });
      expect(fit.temperature / (temperature * scale)).toBeCloseTo(1, 10);
    }
  });
  test("never makes the likelihood worse and is a minimum", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            fc.double({ min: -20, max: 20, noNaN: true }),
            fc.double({ min: -20, max: 20, noNaN: true }),
            fc.integer({ min: 0, max: 1 }),
          ),
          {
            minLength: 1,
            maxLength: 20,
          },
        ),
        (rows) => {
          const matrix = {
            data: rows.flatMap(([a, b]) => [a, b]),
            shape: [rows.length, 2],
          };
          const fit = metrics.fitTemperature(
            matrix,
            rows.map((row) => row[2]),
          );
          expect(fit.nllAfter).toBeLessThanOrEqual(fit.nllBefore + 1e-12);
          expect(fit.temperature).toBeGreaterThanOrEqual(0.01 * (1 - 1e-12));
          expect(fit.temperature).toBeLessThanOrEqual(100 * (1 + 1e-12));
        },
      ),
    );
  });
  test("says when there is no minimum inside the bounds", () => {
    const right = metrics.fitTemperature({ data: [2, 0, 0, 2], shape: [2, 2] }, [0, 1]);
    expect(right).toMatchObject({ temperature: 0.01, atBound: true });
    const wrong = metrics.fitTemperature({ data: [2, 0, 0, 2], shape: [2, 2] }, [1, 0]);
    expect(wrong).toMatchObject({ temperature: 100, atBound: true });
    expect(metrics.fitTemperature({ data: [1, 1], shape: [1, 2] }, [0])).toMatchObject({ temperature: 1, atBound: false });
  });
  test("refusals", () => {
    expect(() => metrics.fitTemperature({ data: [1, 2], shape: [1, 2] }, [2])).toThrow(refused("ERR_RANGE"));
    expect(() => metrics.fitTemperature({ data: [1, 2], shape: [1, 2] }, [0, 1])).toThrow(refused("ERR_SHAPE"));
    expect(() => metrics.fitTemperature({ data: [1, 2, 3], shape: [1, 2] }, [0])).toThrow(refused("ERR_SHAPE"));
    expect(() => metrics.fitTemperature({ data: [1, NaN], shape: [1, 2] }, [0])).toThrow(refused("ERR_NON_FINITE"));
    expect(() =>
      metrics.fitTemperature({ data: [1, 2], shape: [1, 2] }, [0], {
        minimum: 2,
        maximum: 1,
      }),
    ).toThrow(refused("ERR_RANGE"));
    expect(() => metrics.fitTemperature([1, 2] as never, [0])).toThrow(refused("ERR_DTYPE"));
  });
});

describe.each(Object.entries(expected.logit_scores))("scores of logits at temperature %s", (temperature, wanted) => {
  const logits = {
    data: Float64Array.from(expected.temperature.logits),
    shape: expected.temperature.shape,
  };
  const options = { temperature: Number(temperature) };
  const close = (found: Float64Array, list: number[]): void => {
    expect(found).toHaveLength(list.length);
    found.forEach((x, i) => expect(x).toBeCloseTo(list[i] as number, 12));
  };
  test("confidence", () => close(metrics.softmaxConfidence(logits, options), wanted.confidence));
  test("entropy", () => close(metrics.softmaxEntropy(logits, options), wanted.entropy));
  test("energy", () => close(metrics.energy(logits, options), wanted.energy));
  test("largest logit", () => close(metrics.maxLogit(logits), wanted.maximum));
});

test("scores of extreme logits do not overflow, and their order is kept by energy and the largest logit", () => {
  const logits = { data: [1e308, -1e308, 0, 1e4, 0, -1e4], shape: [2, 3] };
  expect(Array.from(metrics.softmaxConfidence(logits))).toEqual([1, 1]);
  expect(Array.from(metrics.softmaxEntropy(logits))).toEqual([0, 0]);
  expect(Array.from(metrics.energy(logits))).toEqual([1e308, 1e4]);
  expect(Array.from(metrics.maxLogit(logits))).toEqual([1e308, 1e4]);
  expect(Array.from(metrics.predictedClass({ data: [1, 3, 3, 2, 2, 0], shape: [2, 3] }))).toEqual([1, 0]);
  expect(() => metrics.energy(logits, { temperature: 0 })).toThrow(refused("ERR_RANGE"));
  expect(() => metrics.energy({ data: [1], shape: [1, 1, 1] })).toThrow(refused("ERR_SHAPE"));
});

describe("bootstrap", () => {
  const { id, ood } = expected.cases[0] as (typeof expected.cases)[number];
  test.each(expected.bootstrap.map((wanted, i) => ({ ...wanted, ...(expected.cases[i] as (typeof expected.cases)[number]) })))(
    "of $name: the interval of an independent generator, scikit-learn's AUROC and numpy's quantile, seed $seed",
    (c) => {
      const { seed, resamples, level } = c;
      const interval = metrics.bootstrapInterval(c.id, c.ood, { seed, resamples, level });
      expect(interval.lower).toBeCloseTo(c.lower, 13);
      expect(interval.upper).toBeCloseTo(c.upper, 13);
    },
  );
  test("the same seed gives the same interval, which holds the value", () => {
    const interval = metrics.bootstrapInterval(id, ood, { seed: 3 });
    expect(metrics.bootstrapInterval(id, ood, { seed: 3 })).toEqual(interval);
    expect(metrics.bootstrapInterval(id, ood, { seed: 4 })).not.toEqual(interval);
    expect(interval.value).toBe(metrics.auroc(id, ood));
    expect(interval.lower).toBeLessThan(interval.value);
    expect(interval.upper).toBeGreaterThan(interval.value);
  });
  test("its width is that of the normal approximation (Hanley and McNeil 1982) to 20 %", () => {
    const interval = metrics.bootstrapInterval(id, ood, { resamples: 4000 });
    const a = interval.value;
    const q1 = a / (2 - a);
    const q2 = (2 * a * a) / (1 + a);
    const variance = (a * (1 - a) + (id.length - 1) * (q1 - a * a) + (ood.length - 1) * (q2 - a * a)) / (id.length * ood.length);
    const width = (interval.upper - interval.lower) / (2 * 1.959964 * Math.sqrt(variance));
    expect(width).toBeGreaterThan(0.8);
    expect(width).toBeLessThan(1.2);
  });
  test("draws each value equally often", () => {
    const counts = new Float64Array(7);
    metrics.bootstrapInterval([0, 1, 2, 3, 4, 5, 6], [0], {
      resamples: 2000,
      statistic: (sample) => {
        for (const x of sample) counts[x] = (counts[x] as number) + 1;
        return 0;
      },
    });
    // 2001 x 7 draws, one of the calls being the value itself; 5 standard deviations of a count of mean 2001 are 208
    for (const count of counts) expect(Math.abs(count - 2001)).toBeLessThan(208);
  });
  test("takes any statistic and refuses what cannot be", () => {
    const fpr = metrics.bootstrapInterval(id, ood, {
      statistic: (a, b) => metrics.fprAtTpr(a, b),
    });
    expect(fpr.lower).toBeLessThanOrEqual(fpr.upper);
    expect(() => metrics.bootstrapInterval(id, ood, { resamples: 10 })).toThrow(refused("ERR_RANGE"));
    expect(() => metrics.bootstrapInterval(id, ood, { level: 1 })).toThrow(refused("ERR_RANGE"));
    expect(() => metrics.bootstrapInterval(id, ood, { seed: -1 })).toThrow(refused("ERR_RANGE"));
    expect(() => metrics.bootstrapInterval(id, ood, { statistic: "auroc" as never })).toThrow(refused("ERR_OPTION"));
    expect(() => metrics.bootstrapInterval([], ood)).toThrow(refused("ERR_SHAPE"));
  });
});

describe("summary and correlation", () => {
  test("summary over seeds", () => {
    const { values, min, max, mean, sd, standard_error } = expected.summary;
    const found = metrics.summary(values);
    expect(found).toMatchObject({ count: 15, min, max });
    expect(found.mean).toBeCloseTo(mean, 15);
    expect(found.sd / sd).toBeCloseTo(1, 12);
    expect(found.standardError / standard_error).toBeCloseTo(1, 12);
    expect(metrics.summary([2])).toEqual({
      count: 1,
      min: 2,
      max: 2,
      mean: 2,
      sd: NaN,
      standardError: NaN,
    });
  });
  test("the spread of numbers that share a large offset is not lost (trap 4)", () => {
    expect(metrics.summary([1e9 + 1, 1e9 + 2, 1e9 + 3]).sd).toBe(1);
    expect(metrics.summary(new Array<number>(10).fill(0.1)).mean).toBe(0.1); // their plain sum is less than 1
  });
  test("pearson", () => {
    const { x, y, r } = expected.pearson;
    expect(metrics.pearson(x, y)).toBeCloseTo(r, 14);
    expect(
      metrics.pearson(
        x.map((v) => v * 1e200 + 1e190),
        y,
      ),
    ).toBeCloseTo(r, 12);
    expect(metrics.pearson([1, 2, 3], [-2, -4, -6])).toBeCloseTo(-1, 15);
    expect(() => metrics.pearson([1, 1], [1, 2])).toThrow(refused("ERR_RANGE"));
    expect(() => metrics.pearson([1], [1])).toThrow(refused("ERR_SHAPE"));
    expect(() => metrics.pearson([1, 2], [1, 2, 3])).toThrow(refused("ERR_SHAPE"));
  });
});
