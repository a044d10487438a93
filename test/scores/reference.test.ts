// Every score against formulas written afresh in 60-digit or 80-bit arithmetic (test/reference/scores.py).

import expected from "../reference/scores.json";
import * as scores from "../../lib/scores";
import { set, type FeatureSet } from "../support/feature-sets";

const epsilon = Number.EPSILON;

interface Vim {
  dimension: number;
  alpha: number;
  scores: number[];
  tilts: number[];
  mean_tilt_of_residual: number;
}

interface Case {
  name: string;
  "feature-norm": number[];
  logits: Record<string, Record<string, number[]>>;
  mahalanobis?: {
    mahalanobis: number[];
    "relative-mahalanobis": number[];
    background: number[];
    condition: number;
    background_condition: number;
    reach: number;
  } | null;
  singular?: { scale: number; by_power: Record<string, number[]> };
  neighbours: { k: number; normalize: boolean; scores: number[] }[];
  vim: Vim;
}

/** z·Wᵀ + b */
function logitsOf(s: FeatureSet, z: FeatureSet["features"]): { data: Float64Array; shape: [number, number] } {
  const data = new Float64Array(z.shape[0] * s.numClasses);
  for (let i = 0; i < z.shape[0]; i++) {
    for (let c = 0; c < s.numClasses; c++) {
      let sum = s.bias.data[c] as number;
      for (let j = 0; j < s.dim; j++) sum += (z.data[i * s.dim + j] as number) * (s.weight.data[c * s.dim + j] as number);
      data[i * s.numClasses + c] = sum;
    }
  }
  return { data, shape: [z.shape[0], s.numClasses] };
}

function expectWithin(found: ArrayLike<number>, wanted: readonly number[], tolerance: (value: number, i: number) => number): void {
  expect(found).toHaveLength(wanted.length);
  wanted.forEach((value, i) => {
    const difference = Math.abs((found[i] as number) - value);
    if (!(difference <= tolerance(value, i))) expect({ i, found: found[i], tolerance: tolerance(value, i) }).toEqual({ i, found: value });
  });
}

describe.each(expected.cases as unknown as Case[])("$name", (c) => {
  const s = set(c.name);
  const training = { features: s.features, labels: s.labels, logits: logitsOf(s, s.features), weight: s.weight, bias: s.bias };
  const queries = { features: s.queries, rawFeatures: s.queries, logits: logitsOf(s, s.queries) };

  test.each(["max-softmax", "max-logit", "entropy", "energy"] as const)("%s", async (name) => {
    for (const temperature of [1, 2.5]) {
      if (name === "max-logit" && temperature !== 1) continue;
      const score = await scores.fit(name, {}, name === "max-logit" ? {} : { temperature });
      // The logits' own rounding moves exponents by so much; entropies near zero are sums of products of it.
      const size = queries.logits.data.reduce((largest, value) => Math.max(largest, Math.abs(value)), 1);
      const rounding = 8 * s.dim * epsilon * size;
      const wanted = c.logits[String(temperature)]?.[name] as number[];
      expectWithin(await score.score(queries), wanted, (value) => rounding * Math.max(1, Math.abs(value)));
    }
  });

  test("feature-norm", async () => {
    const score = await scores.fit("feature-norm");
    expectWithin(await score.score(queries), c["feature-norm"], (value) => (4 + s.dim / 2) * epsilon * value);
  });

  test("nearest neighbours", async () => {
    for (const { k, normalize, scores: wanted } of c.neighbours) {
      using score = await scores.fit("nearest-neighbours", training, { k, normalize });
      // Normalised entries are at most 1 and rounded three times; a distance is the length of so many such errors. The difference of
      // entries as they came is rounded relative to itself.
      const absolute = normalize ? 4 * epsilon * Math.sqrt(s.dim) : 0;
      expectWithin(await score.score(queries), wanted, (value) => absolute + s.dim * epsilon * Math.abs(value));
    }
  });

  test("ViM", async () => {
    const { dimension, alpha, tilts, scores: wanted } = c.vim;
    using score = await scores.fit("vim", training, s.dim > 100 ? { dimension } : {});
    expect(score.dimension).toBe(dimension);
    // Rounding perturbs the features by up to d·eps, which turns the principal subspace; what that does to a residual is in the reference.
    const rounding = 8 * s.dim * epsilon;
    const relative = rounding * c.vim.mean_tilt_of_residual + 1e-13;
    expect(relative).toBeLessThan(1e-5);
    expectWithin([score.alpha], [alpha], (value) => relative * Math.abs(value));
    expectWithin(await score.score(queries), wanted, (value, i) => {
      const energy = c.logits["1"]?.energy?.[i] as number;
      return relative * Math.abs(value - energy) + Math.abs(alpha) * rounding * (tilts[i] as number) + 1e-12 * Math.abs(energy);
    });
  });

  const distances = c.mahalanobis;
  if (distances !== undefined && distances !== null) {
    test.each(["mahalanobis", "relative-mahalanobis"] as const)("%s", async (name) => {
      using score = await scores.fit(name, training, { numClasses: s.numClasses });
      expect(score.jitter).toBe(0);
      const rounding = 8 * s.dim * epsilon;
      const shift = rounding * distances.reach; // of a whitened coordinate: rows and means are whitened about a common centre
      expectWithin(await score.score(queries), distances[name], (value, i) => {
        const background = name === "mahalanobis" ? 0 : (distances.background[i] as number);
        const own = background - value;
        const ownError = rounding * distances.condition * own + 2 * Math.sqrt(own) * shift + shift ** 2;
        return ownError + rounding * distances.background_condition * background;
      });
    });
  } else if (distances === null) {
    test.each(["mahalanobis", "relative-mahalanobis"] as const)("%s: no variance within classes", async (name) => {
      await expect(scores.fit(name, training)).rejects.toMatchObject({ code: "ERR_NOT_POSITIVE_DEFINITE" });
    });
  }

  const singular = c.singular;
  if (singular !== undefined) {
    test("mahalanobis with the jitter that is reported", async () => {
      using score = await scores.fit("mahalanobis", training);
      const power = Math.round(Math.log10(score.jitter / singular.scale));
      expect(score.jitter / singular.scale / 10 ** power).toBeCloseTo(1, 9);
      expect(score.warnings.join()).toContain("not safely positive definite");
      // Rounding of the covariance, d·eps of its largest eigenvalue (at most d times the mean one), beside the jitter.
      const relative = (s.dim * epsilon) / 10 ** power;
      expect(relative).toBeLessThan(1);
      expectWithin(await score.score(queries), singular.by_power[String(power)] as number[], (value) => relative * Math.abs(value));
    });
  }
});

test("gaussian-mixture is the mixture's log density", async () => {
  const s = set("random");
  const score = await scores.fit("gaussian-mixture", { features: s.features, labels: s.labels }, { covariance: "ledoit-wolf" });
  expect(score.mixture.covariance).toBe("ledoit-wolf");
  expect(await score.score({ features: s.queries })).toEqual(await score.mixture.logDensity(s.queries));
});
