// GaussianMixture against 60-digit arithmetic, scikit-learn and the DDU algorithm (test/reference/gmm.py).

import * as fc from "fast-check";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import expected from "../reference/gmm.json";
import lowRank from "../reference/gmm_low_rank.json";
import { ClassStatistics } from "../../lib/statistics/class-statistics";
import { readSafetensors, writeSafetensors } from "../../lib/formats/safetensors";
import { GaussianMixture, type Covariance, type GaussianMixtureOptions } from "../../lib/statistics/gaussian-mixture";
import { auroc } from "../../lib/metrics";
import { presets } from "../../lib/protocols/preset";
import { Tensor } from "../../lib/native/tensor";
import { uniform } from "../models/resnet/closed-formula";
import { featureSet, set } from "../support/feature-sets";

const refused = (code: string, message = "") => expect.objectContaining({ code, message: expect.stringContaining(message) });
const directory = mkdtempSync(join(tmpdir(), "gaussian-mixture-"));
afterAll(() => rmSync(directory, { recursive: true }));
const epsilon = Number.EPSILON;

interface Shares {
  ratio: number;
  share: number;
}

type ByJitter = Record<string, Shares & { log_density: number[] }>;
const relative = (found: number, wanted: number): number => Math.abs(found - wanted) / Math.max(1, Math.abs(wanted));
const classColumn = (values: Float64Array, classes: number, c: number): number[] =>
  Array.from({ length: values.length / classes }, (_, k) => values[k * classes + c] as number);

/** "none", or the power of ten that the reported jitter is of the scale. */
function powerOf(jitter: number, scale: number): string {
  if (jitter === 0) return "none";
  const power = Math.round(Math.log10(jitter / scale));
  expect(jitter / scale / 10 ** power).toBeCloseTo(1, 9);
  return String(power);
}

describe.each(expected.exact)("$name, in exact arithmetic", (c) => {
  const s = set(c.name);
  test.each(["full", "tied", "diagonal"] as const)(
    "%s: log densities for the jitter that is reported, which the rule asks for",
    async (covariance) => {
      const gmm = await GaussianMixture.fit(s.features, s.labels, { covariance, numClasses: s.numClasses });
      const densities = (await gmm.classLogDensities(s.queries)).toArray() as Float64Array;
      c[covariance].forEach((references, label) => {
        const found = classColumn(densities, s.numClasses, label);
        if (references === null && s.counts[label] !== 0) return; // not among those recorded
        if (references === null) {
          expect(found).toEqual(new Array(6).fill(-Infinity));
          return;
        }
        const byJitter = references as unknown as ByJitter;
        const scale = covariance === "tied" ? c.pooled_scale : (c.scales[label] as number);
        const power = powerOf(gmm.jitter[label] as number, scale);
        const chosen = byJitter[power];
        if (chosen === undefined) throw new Error(`no reference for power ${power}`);
        // The rule: safe at this jitter, and at none smaller. The factor 2 is rounding in L where a share is at its limit.
        const safety = ({ ratio, share }: Shares): number => Math.min(ratio, share / 1000) / (s.dim * epsilon);
        expect(safety(chosen)).toBeGreaterThan(1 / 2);
        if (power !== "none") expect(safety(byJitter["none"] ?? { ratio: 0, share: 0 })).toBeLessThan(2);
        const zero = byJitter["-17"]?.ratio === 1; // a covariance of zero: any jitter is safe, and that of d·eps is taken
        const smaller = byJitter[String(Number(power) - 1)];
        if (power !== "none" && smaller !== undefined && !zero) expect(safety(smaller)).toBeLessThan(2);
        // Rounding of the covariance, eps of its largest entries, is (eps / ratio) of its smallest eigenvalue.
        const tolerance = Math.max(1e-11, (20 * epsilon) / chosen.ratio);
        found.forEach((value, k) => expect(relative(value, chosen.log_density[k] as number)).toBeLessThan(tolerance));
      });
    },
  );
});

describe.each(expected.shrunk)("$name, shrunk", (c) => {
  const s = set(c.name);
  test.each(["ledoit-wolf", "oas"] as const)("%s equals scikit-learn's covariance", async (covariance) => {
    if (Math.max(...s.counts) < 2) return;
    const gmm = await GaussianMixture.fit(s.features, s.labels, { covariance, numClasses: s.numClasses });
    const densities = (await gmm.classLogDensities(s.queries)).toArray() as Float64Array;
    let compared = 0;
    c[covariance].forEach((wanted, label) => {
      if (wanted === null) return;
      expect(gmm.jitter[label]).toBe(0);
      // Under collapse scikit-learn's input has lost digits to centring: 1e-16/within of the spread.
      const tolerance = s.name.startsWith("collapsed") ? 1e-7 : 1e-10;
      classColumn(densities, s.numClasses, label).forEach((value, k) =>
        expect(relative(value, wanted[k] as number)).toBeLessThan(tolerance),
      );
      compared++;
    });
    expect(compared).toBeGreaterThan(0);
  });
});

test.each(lowRank)("low-rank covariances of rank $rank equal scikit-learn's, $name", async ({ name, rank, classes }) => {
  const s = set(name);
  const gmm = await GaussianMixture.fit(s.features, s.labels, { covariance: "low-rank", rank, numClasses: s.numClasses });
  expect(gmm.rank).toBe(rank);
  const densities = (await gmm.classLogDensities(s.queries)).toArray() as Float64Array;
  classes.forEach((wanted, label) => {
    if (wanted === null) return;
    classColumn(densities, s.numClasses, label).forEach((value, k) => expect(relative(value, wanted[k] as number)).toBeLessThan(1e-11));
  });
  const path = join(directory, "low-rank.safetensors");
  await gmm.save(path);
  const loaded = await GaussianMixture.load(path);
  expect(loaded.rank).toBe(rank);
  expect(await loaded.logDensity(s.queries)).toEqual(await gmm.logDensity(s.queries));
});

describe("parity with the DDU code", () => {
  test.each(expected.ddu)("$name: its jitter, class log densities and score", async (c) => {
    const s = set(c.name);
    const gmm = await GaussianMixture.fit(s.features, s.labels, { preset: "ddu-2021" });
    expect(gmm).toMatchObject({ covariance: "full", prior: "none", jitterRule: "ddu", preset: { name: "ddu-2021", overridden: [] } });
    expect(gmm.jitter).toEqual(new Array(s.numClasses).fill(c.jitter));
    const densities = (await gmm.classLogDensities(s.queries)).toArray() as Float64Array;
    c.classes.forEach((wanted, label) => {
      classColumn(densities, s.numClasses, label).forEach((value, k) => expect(relative(value, wanted[k] as number)).toBeLessThan(1e-9));
    });
    (await gmm.logDensity(s.queries)).forEach((value, k) => expect(relative(value, c.score[k] as number)).toBeLessThan(1e-9));
  });
});

describe("presets", () => {
  const s = set("random");

  test.each(["seed-paper", "ddu-2021", "openood-1.5"] as const)(
    "%s: the choices it names, from features and from statistics",
    async (name) => {
      const { covariance, prior, jitter } = presets[name].mixture;
      const plain = await GaussianMixture.fit(s.features, s.labels, { covariance, prior, jitter });
      const statistics = new ClassStatistics({ numClasses: s.numClasses, featureDim: s.dim });
      await statistics.update(s.features, s.labels);
      const fitted = await GaussianMixture.fit(s.features, s.labels, { preset: name });
      const streamed = await GaussianMixture.fromStatistics(statistics, { preset: name });
      expect(await fitted.logDensity(s.queries)).toEqual(await plain.logDensity(s.queries));
      expect(plain.preset).toBeUndefined();
      for (const gmm of [fitted, streamed]) {
        expect(gmm).toMatchObject({ covariance, prior, jitterRule: jitter });
        expect(gmm.preset).toEqual({ name, overridden: [] });
      }
    },
  );

  test("options go first and are named where they differ, also after a file", async () => {
    const options = { prior: "empirical", jitter: "ddu", covariance: "low-rank", rank: 3 } as const;
    const gmm = await GaussianMixture.fit(s.features, s.labels, { preset: "ddu-2021", ...options });
    const plain = await GaussianMixture.fit(s.features, s.labels, options);
    expect(await gmm.logDensity(s.queries)).toEqual(await plain.logDensity(s.queries));
    expect(gmm.preset).toEqual({ name: "ddu-2021", overridden: ["covariance", "prior"] });
    expect(gmm).toMatchObject({ covariance: "low-rank", prior: "empirical", jitterRule: "ddu", rank: 3 });
    const path = join(directory, "preset.safetensors");
    await gmm.save(path);
    expect((await GaussianMixture.load(path)).preset).toEqual(gmm.preset);
    await plain.save(path);
    expect((await GaussianMixture.load(path)).preset).toBeUndefined();
    await expect(GaussianMixture.fit(s.features, s.labels, { preset: "ddu" as never })).rejects.toThrow(refused("ERR_OPTION", "preset"));
  });
});

describe("the jitter search on planted eigenvalues", () => {
  /** Samples whose covariance (ddof 1) is diag(variances) exactly but for rounding: ± along each axis. */
  function planted(variances: readonly number[]) {
    const d = variances.length;
    const n = 2 * d;
    const data = new Float64Array(n * d);
    variances.forEach((variance, j) => {
      const size = Math.sqrt((variance * (n - 1)) / 2);
      data[2 * j * d + j] = size;
      data[(2 * j + 1) * d + j] = -size;
    });
    return { features: { data, shape: [n, d] }, labels: new Int32Array(n) };
  }

  test.each([[1], [1e-8], [1e8]])("relative, at scale %p: the smallest power of ten that keeps the ratio", async (scale) => {
    for (const smallest of [0, 1e-20, 1e-17, 1e-16, 5e-16, 1e-15, 3e-15, 1e-14, 1e-13, 1e-11, 1e-6]) {
      const variances = [1, 0.5, 2, smallest].map((v) => v * scale);
      const { features, labels } = planted(variances);
      const gmm = await GaussianMixture.fit(features, labels);
      const unit = variances.reduce((a, b) => a + b) / 4;
      const share = 4 * epsilon; // without correlation, what the variances may differ by
      const safe = (jitter: number): boolean => (variances[3] as number) + jitter >= share * ((variances[2] as number) + jitter);
      let power = -30;
      while (!safe(10 ** power * unit)) power++;
      const wanted = safe(0) ? 0 : 10 ** power * unit;
      if (wanted === 0) expect(gmm.jitter[0]).toBe(0);
      else expect((gmm.jitter[0] as number) / wanted).toBeCloseTo(1, 12);
    }
  });

  test("relative: features that follow from one another get some, whatever their sizes, and the order of the rows decides nothing", async () => {
    const numbers = uniform("subspace", 100 * 5 * 5).values();
    const draw = (): number => (numbers.next().value as number) / 2;
    for (let trial = 0; trial < 100; trial++) {
      // As many distinct rows as dimensions lie in a subspace; two columns are close to one another, and all of unlike size.
      const d = 3 + (trial % 3);
      const points = Array.from({ length: d }, () => {
        const [a, b, c, e, f] = [draw(), draw(), draw(), draw(), draw()];
        return [1e-3 * a, 1e-3 * a + 1e-6 * b, 100 * c, e, 10 * f].slice(0, d);
      });
      const rows = Array.from({ length: 40 }, (_, i) => points[i % d] as number[]);
      const fitted = async (own: number[][]) =>
        await GaussianMixture.fit({ data: Float64Array.from(own.flat()), shape: [40, d] }, new Int32Array(40));
      const [forwards, backwards] = [await fitted(rows), await fitted([...rows].reverse())];
      const query = {
        data: Float64Array.from(rows.slice(0, 2).flat(), (value, i) => value * (1 + 1e-2 * (i % 5))),
        shape: [2, d],
      };
      const [a, b] = [await forwards.logDensity(query), await backwards.logDensity(query)];
      expect(forwards.jitter[0]).toBeGreaterThan(0);
      expect(forwards.warnings).not.toEqual([]);
      for (const i of [0, 1]) expect(Math.abs((a[i] as number) / (b[i] as number) - 1)).toBeLessThan(1e-3);
    }
  });

  test("ddu: the first entry of the list that makes every class positive definite, also where only one is not", async () => {
    const list = [0, 2 ** -1022, ...Array.from({ length: 308 }, (_, k) => 10 ** (k - 308))];
    // A variance of exactly 0 needs the first entry above 0; a covariance of rank 1 with equal entries v needs the first that changes v.
    const zero = planted([1, 0]);
    expect((await GaussianMixture.fit(zero.features, zero.labels, { jitter: "ddu" })).jitter[0]).toBe(list[1]);
    for (const v of [1, 1e-3, 4096, 1e-10]) {
      const size = Math.sqrt(v / 2);
      const data = Float64Array.of(size, size, -size, -size, 1, 0, -1, 0, 0, 1, 0, -1);
      const gmm = await GaussianMixture.fit({ data, shape: [6, 2] }, [0, 0, 1, 1, 1, 1], { jitter: "ddu" });
      const entry = size * size + size * size; // the covariance [[v, v], [v, v]] as float64 holds it
      const cholesky = (jitter: number): boolean => {
        const first = Math.sqrt(entry + jitter);
        return entry + jitter > 0 && entry + jitter - (entry / first) ** 2 > 0;
      };
      const wanted = list.find(cholesky) as number;
      // The last bit of the pivot depends on the order of operations inside LAPACK: one entry of the list either way.
      expect(Math.abs(list.indexOf(gmm.jitter[0] as number) - list.indexOf(wanted))).toBeLessThanOrEqual(1);
      expect(new Set(gmm.jitter).size).toBe(1);
    }
  });

  test("relative-shared is the largest of the classes' own; a number is taken as it is", async () => {
    const s = set("fewer samples than dimensions");
    const own = await GaussianMixture.fit(s.features, s.labels);
    const shared = await GaussianMixture.fit(s.features, s.labels, { jitter: "relative-shared" });
    expect(shared.jitter).toEqual(new Array(4).fill(Math.max(...own.jitter)));
    const fixed = await GaussianMixture.fit(s.features, s.labels, { jitter: 0.125 });
    expect(fixed.jitter).toEqual(new Array(4).fill(0.125));
    await expect(GaussianMixture.fit(s.features, s.labels, { jitter: 0 })).rejects.toThrow(refused("ERR_NOT_POSITIVE_DEFINITE"));
    const diagonal = await GaussianMixture.fit(s.features, s.labels, { covariance: "diagonal", jitter: "relative-shared" });
    expect(diagonal.jitter).toEqual([0, 0, 0, 0]);
  });

  test("no variance at all: the fit throws; a class without its own uses the pooled one", async () => {
    const single = set("one sample per class");
    for (const covariance of ["full", "tied", "diagonal", "ledoit-wolf", "oas"] as const) {
      await expect(GaussianMixture.fit(single.features, single.labels, { covariance })).rejects.toThrow(
        refused("ERR_NOT_POSITIVE_DEFINITE"),
      );
    }
    const s = set("class 1 with one sample");
    for (const covariance of ["full", "diagonal", "ledoit-wolf", "oas"] as const) {
      const gmm = await GaussianMixture.fit(s.features, s.labels, { covariance });
      expect(gmm.jitter[1]).toBeGreaterThan(0);
      expect(gmm.jitter[1]).toBeLessThan(1e-12);
      expect((await gmm.logDensity(s.queries)).every(Number.isFinite)).toBe(true);
    }
  });
});

describe("mixture", () => {
  const s = set("class 2 missing");
  const total = s.counts.reduce((a, b) => a + b);
  const logSumExp = (values: number[]): number => {
    const top = Math.max(...values);
    return top + Math.log(values.reduce((sum, x) => sum + Math.exp(x - top), 0));
  };

  test.each(["empirical", "uniform", "none"] as const)("prior %s: log density, responsibilities and predicted class", async (prior) => {
    const gmm = await GaussianMixture.fit(s.features, s.labels, { prior, numClasses: 4 });
    const classes = (await gmm.classLogDensities(s.queries)).toArray() as Float64Array;
    const logPrior = s.counts.map((n) =>
      n === 0 ? -Infinity : Math.log(prior === "empirical" ? n / total : prior === "uniform" ? 1 / 3 : 1),
    );
    const density = await gmm.logDensity(s.queries);
    const posterior = (await gmm.responsibilities(s.queries)).toArray() as Float64Array;
    const predicted = await gmm.predict(s.queries);
    for (let k = 0; k < 6; k++) {
      const joint = logPrior.map((p, c) => p + (classes[k * 4 + c] as number));
      const wanted = logSumExp(joint);
      expect(relative(density[k] as number, wanted)).toBeLessThan(1e-14);
      joint.forEach((x, c) => expect(posterior[k * 4 + c]).toBeCloseTo(Math.exp(x - wanted), 12));
      expect(predicted[k]).toBe(joint.indexOf(Math.max(...joint)));
    }
    expect(gmm.warnings).toEqual([expect.stringContaining("class 2")]);
  });

  test.each([
    ["far apart", { between: 3, within: 0.05 }],
    ["overlapping", { between: 0.01, within: 0.3 }],
    ["a little apart", { between: 0.4, within: 0.25 }],
    ["collapsed", { between: 1, within: 1e-6 }],
  ])("classes %s: what the bound leaves out is nothing, from 65 dimensions on", async (name, recipe) => {
    // Rows of all classes, rows far from every class, and rows between two of them.
    const wide = featureSet(`bound ${name}`, 160, [180, 190, 0, 185, 200], recipe);
    const gmm = await GaussianMixture.fit(wide.features, wide.labels, { covariance: "oas" });
    const middle = Float64Array.from({ length: 40 * 160 }, (_, i) => {
      const [a, b] = [wide.features.data[i] as number, wide.features.data[i + 160] as number];
      return a + (b - a) * (Math.floor(i / 160) / 40);
    });
    for (const rows of [wide.features, wide.queries, { data: middle, shape: [40, 160] }]) {
      const classes = (await gmm.classLogDensities(rows)).toArray() as Float64Array;
      const density = await gmm.logDensity(rows);
      const predicted = await gmm.predict(rows);
      // Again and again: the mixture learns which bound serves, and the other one must give the same.
      for (let call = 0; call < 3; call++) {
        (await gmm.logDensity(rows)).forEach((value, k) => expect(relative(value, density[k] as number)).toBeLessThan(1e-13));
      }
      density.forEach((value, k) => {
        const joint = wide.counts.map((n, c) => (n === 0 ? -Infinity : Math.log(n / 755)) + (classes[k * 5 + c] as number));
        // Relative to what it is the difference of: 80 log 2π, the log determinant and the distance may nearly cancel.
        const expected = logSumExp(joint);
        expect(Math.abs(value - expected) / (Math.abs(expected) + 80 * Math.log(2 * Math.PI))).toBeLessThan(2e-15);
        expect(predicted[k]).toBe(joint.indexOf(Math.max(...joint)));
      });
    }
  });

  test("classes and dimensions beyond one block of the screen's products", async () => {
    const classes = 30;
    // Too near to one another for what the leading dimensions tell, not for all of them.
    const wide = featureSet("screened blocks", 300, new Array<number>(classes).fill(340), { between: 0.35, within: 0.3 });
    // And of sizes of their own: by a later class's factor a row would be too far from its class.
    wide.features.data.forEach((value, i) => (wide.features.data[i] = value * (4 - (wide.labels[Math.floor(i / 300)] as number) / 10)));
    const gmm = await GaussianMixture.fit(wide.features, wide.labels, { prior: "none", covariance: "oas" });
    const rows = { data: wide.features.data.slice(0, 300 * 300), shape: [300, 300] };
    const own = (await gmm.classLogDensities(rows)).toArray() as Float64Array;
    // The screen is made once enough rows have gone by.
    for (let call = 0; call < 3; call++) {
      (await gmm.logDensity(rows)).forEach((value, k) => {
        const expected = logSumExp([...own.subarray(k * classes, (k + 1) * classes)]);
        expect(Math.abs(value - expected) / (Math.abs(expected) + 150 * Math.log(2 * Math.PI))).toBeLessThan(2e-15);
      });
    }
  });

  test("the default prior is the empirical one", async () => {
    const defaults = await GaussianMixture.fit(s.features, s.labels);
    expect(defaults).toMatchObject({
      prior: "empirical",
      covariance: "full",
      jitterRule: "relative",
      numClasses: 4,
      featureDim: 5,
      counts: s.counts,
    });
  });

  test("more rows than a chunk, float32 and Tensors", async () => {
    const many = featureSet("many queries", 5, [700, 900, 800]);
    const gmm = await GaussianMixture.fit(s.features, s.labels);
    const whole = await gmm.logDensity(many.features);
    const single = Float32Array.from(many.features.data);
    const fromSingle = await gmm.logDensity(Tensor.from(single, many.features.shape));
    expect(fromSingle).toEqual(await gmm.logDensity({ data: Float64Array.from(single), shape: many.features.shape }));
    for (const row of [0, 1023, 1024, 2047, 2048, 2399]) {
      const one = await gmm.logDensity({ data: many.features.data.slice(row * 5, row * 5 + 5), shape: [1, 5] });
      expect(relative(whole[row] as number, one[0] as number)).toBeLessThan(1e-13);
    }
    expect(await gmm.logDensity({ data: new Float64Array(0), shape: [0, 5] })).toHaveLength(0);
  });

  test("parameters are the mean and covariance that the density uses", async () => {
    const statistics = new ClassStatistics({ numClasses: 4, featureDim: 5 });
    await statistics.update(s.features, s.labels);
    const gmm = await GaussianMixture.fromStatistics(statistics);
    const { mean, covariance } = await gmm.parameters(3);
    const wanted = (await statistics.covariance({ of: 3 })).toArray() as Float64Array;
    (covariance.toArray() as Float64Array).forEach((x, i) => expect(x).toBeCloseTo(wanted[i] as number, 14));
    expect(Array.from(mean.toArray() as Float64Array)).toEqual(
      Array.from(((await statistics.means()).toArray() as Float64Array).slice(15)),
    );
    await expect(gmm.parameters(2)).rejects.toThrow(refused("ERR_RANGE"));
    await expect(gmm.parameters(4)).rejects.toThrow(refused("ERR_RANGE"));
  });

  test("from statistics, and from features, is the same; the statistics are not used up", async () => {
    const statistics = new ClassStatistics({ numClasses: 4, featureDim: 5 });
    await statistics.update(s.features, s.labels);
    for (const covariance of ["full", "tied", "diagonal", "ledoit-wolf", "oas"] as const) {
      const one = await (await GaussianMixture.fromStatistics(statistics, { covariance })).logDensity(s.queries);
      const other = await (await GaussianMixture.fit(s.features, s.labels, { covariance })).logDensity(s.queries);
      one.forEach((value, k) => expect(relative(value, other[k] as number)).toBeLessThan(1e-12));
    }
    const lowRankOptions = { covariance: "low-rank", rank: 2 } as const;
    const streamed = await (await GaussianMixture.fromStatistics(statistics, lowRankOptions)).logDensity(s.queries);
    const direct = await (await GaussianMixture.fit(s.features, s.labels, lowRankOptions)).logDensity(s.queries);
    streamed.forEach((value, k) => expect(relative(value, direct[k] as number)).toBeLessThan(1e-12));
    const pooled = new ClassStatistics({ numClasses: 4, featureDim: 5, scatter: "pooled" });
    await pooled.update(s.features, s.labels);
    await GaussianMixture.fromStatistics(pooled, { covariance: "tied" });
    await expect(GaussianMixture.fromStatistics(pooled)).rejects.toThrow(refused("ERR_OPTION", "scatter"));
    await expect(GaussianMixture.fromStatistics({} as never)).rejects.toThrow(refused("ERR_OPTION"));
  });
});

describe("collapsed features", () => {
  test("an absolute jitter ruins L2-normalised features, the relative one does not (trap 2)", async () => {
    // Directions that collapsed to a variance of 1e-10 tell the two sets apart; all features are about as small as L2-normalised ones.
    const [n, d] = [400, 24];
    const noise = uniform("trap 2", 3 * n * d);
    const spread = (j: number): number => (j < 12 ? 3e-2 : 1e-5);
    const rows = (start: number, size: (j: number) => number): Float64Array =>
      Float64Array.from({ length: n * d }, (_, i) => 0.2 + size(i % d) * (noise[start * n * d + i] as number));
    const shape = [n, d];
    const train = { data: rows(0, spread), shape };
    const test = { data: rows(1, spread), shape };
    const ood = { data: rows(2, (j) => (j < 12 ? 3e-2 : 2e-5)), shape };
    const area = async (jitter: "relative" | number): Promise<number> => {
      const gmm = await GaussianMixture.fit(train, new Int32Array(n), { jitter });
      return auroc(await gmm.logDensity(test), await gmm.logDensity(ood));
    };
    const ours = await area("relative");
    expect(ours).toBeGreaterThan(0.97);
    expect(await area(1e-4)).toBeLessThan(ours - 0.3);
  });

  test("log densities keep their order at 1e14, in float64 to the end (trap 1)", async () => {
    const s = set("collapsed-1e-12");
    const gmm = await GaussianMixture.fit(s.features, s.labels);
    const far = new Float64Array(3 * 6).fill(0);
    for (let k = 0; k < 3; k++) far[k * 6] = 40 + k * 1e-9;
    const scores = await gmm.logDensity({ data: far, shape: [3, 6] });
    expect(scores[0]).toBeLessThan(-1e14);
    expect(scores[0]).toBeGreaterThan(scores[1] as number);
    expect(scores[1]).toBeGreaterThan(scores[2] as number);
    expect(Math.fround(scores[0] as number)).toBe(Math.fround(scores[2] as number)); // float32 cannot tell them apart
  });

  test("features scaled from 1e-8 to 1e8 give the same scores but for the change of units", async () => {
    const base = set("random");
    const reference = await (await GaussianMixture.fit(base.features, base.labels)).logDensity(base.queries);
    const times = (data: Float64Array, factor: number): Float64Array => data.map((x) => x * factor);
    for (const factor of [2 ** -27, 2 ** 27]) {
      for (const covariance of ["full", "tied", "diagonal", "ledoit-wolf", "oas"] as Covariance[]) {
        const options = { covariance };
        const wanted =
          covariance === "full"
            ? reference
            : await (await GaussianMixture.fit(base.features, base.labels, options)).logDensity(base.queries);
        const gmm = await GaussianMixture.fit({ ...base.features, data: times(base.features.data, factor) }, base.labels, options);
        const found = await gmm.logDensity({ ...base.queries, data: times(base.queries.data, factor) });
        found.forEach((value, k) => expect(relative(value + base.dim * Math.log(factor), wanted[k] as number)).toBeLessThan(1e-10));
      }
    }
  });

  test("a feature that never varies does not stop the fit, and a query that differs in it is far out", async () => {
    const s = set("random");
    const data = s.features.data.map((x, i) => (i % 8 === 5 ? 0.75 : x));
    const gmm = await GaussianMixture.fit({ data, shape: s.features.shape }, s.labels);
    expect(gmm.jitter.every((jitter) => jitter > 0 && jitter < 1e-11)).toBe(true);
    const query = data.slice(0, 8);
    const inside = (await gmm.logDensity({ data: query, shape: [1, 8] }))[0] as number;
    query[5] = 0.76;
    expect((await gmm.logDensity({ data: query, shape: [1, 8] }))[0]).toBeLessThan(inside - 1e6);
  });
});

describe("warnings name what a user should know", () => {
  const covariances: Covariance[] = ["full", "tied", "diagonal", "ledoit-wolf", "oas", "low-rank"];
  const options = (covariance: Covariance) => ({ covariance, rank: covariance === "low-rank" ? 2 : undefined });
  const random = set("random");
  const count = random.labels.length;
  const changed = (change: (x: number, column: number, label: number) => number) => ({
    data: random.features.data.map((x, i) => change(x, i % 8, random.labels[Math.floor(i / 8)] as number)),
    shape: random.features.shape,
  });
  const everyWay = async (
    features: { data: Float64Array; shape: [number, number] },
    given: GaussianMixtureOptions,
  ): Promise<GaussianMixture[]> => {
    const scatter = given.covariance === "tied" ? "pooled" : given.covariance === "diagonal" ? "diagonal" : "full";
    const statistics = new ClassStatistics({ numClasses: random.numClasses, featureDim: 8, scatter });
    await statistics.update(features, random.labels);
    const path = join(directory, "warned.safetensors");
    const fitted = await GaussianMixture.fit(features, random.labels, given);
    await fitted.save(path);
    return [fitted, await GaussianMixture.fromStatistics(statistics, given), await GaussianMixture.load(path)];
  };

  test.each(covariances)("a class of equal samples, %s, also from statistics and from a file", async (covariance) => {
    const features = changed((x, column, label) => (label === 1 ? column / 4 : x));
    for (const mixture of await everyWay(features, options(covariance))) {
      expect(mixture.warnings.filter((warning) => warning.includes("all samples of class 1 are equal"))).toHaveLength(1);
    }
  });

  test.each(["full", "tied", "diagonal"] as const)("a constant feature, %s: jitter is never silent", async (covariance) => {
    const features = changed((x, column) => (column === 5 ? 0.75 : x));
    for (const jitter of ["relative", "relative-shared", "ddu"] as const) {
      for (const mixture of await everyWay(features, { covariance, jitter })) {
        expect(mixture.jitter[0]).toBeGreaterThan(0);
        expect(mixture.warnings).toEqual([expect.stringContaining("not safely positive definite")]);
      }
    }
    // The caller's own number is no news.
    expect((await GaussianMixture.fit(features, random.labels, { covariance, jitter: 1e-6 })).warnings).toEqual([]);
  });

  test("a feature that repeats another: the order of the rows moves the density by less than 1e-3", async () => {
    const data = uniform("repeated feature", 300 * 9);
    for (let row = 0; row < 300; row++) data[row * 9 + 8] = data[row * 9 + 2] as number;
    const reversed = Float64Array.from({ length: 300 * 9 }, (_, i) => data[(299 - Math.floor(i / 9)) * 9 + (i % 9)] as number);
    const query = { data: data.slice(0, 9), shape: [1, 9] };
    query.data[8] = (query.data[2] as number) + 1e-6;
    const labels = new Int32Array(300);
    const [one, other] = (await Promise.all(
      [data, reversed].map((rows) => GaussianMixture.fit({ data: rows, shape: [300, 9] }, labels)),
    )) as [GaussianMixture, GaussianMixture];
    expect(one.jitter).toEqual([expect.closeTo(other.jitter[0] as number, 20)]);
    expect(one.warnings).toEqual([expect.stringContaining("not safely positive definite")]);
    expect(relative((await one.logDensity(query))[0] as number, (await other.logDensity(query))[0] as number)).toBeLessThan(1e-3);
  });

  test("lists of classes are cut short", async () => {
    const warnings = (await GaussianMixture.fit(random.features, random.labels, { numClasses: 1000, covariance: "oas" })).warnings;
    expect(warnings).toEqual([expect.stringMatching(/^no samples of class \d+(, \d+){9} and \d+ more: /)]);
    expect(count).toBeGreaterThan(0);
  });

  test("classes with no more samples than dimensions, for the estimators that mind", async () => {
    const s = set("fewer samples than dimensions");
    const warnings = async (covariance: Covariance) => (await GaussianMixture.fit(s.features, s.labels, { covariance })).warnings;
    expect(await warnings("full")).toEqual([expect.stringMatching(/0 \(6\), 1 \(8\), 2 \(7\), 3 \(9\).*ledoit-wolf/)]);
    for (const covariance of ["tied", "diagonal", "ledoit-wolf", "oas"] as const) expect(await warnings(covariance)).toEqual([]);
    expect((await GaussianMixture.fit(random.features, random.labels)).warnings).toEqual([]);
    const single = set("class 1 with one sample");
    expect((await GaussianMixture.fit(single.features, single.labels, { covariance: "oas" })).warnings).toEqual([
      expect.stringContaining("1 (1)"),
    ]);
    const pair = featureSet("a pair", 4, [12, 2]);
    for (const [covariance, rank, named] of [
      ["ledoit-wolf", undefined, ["1 (2)"]],
      ["low-rank", 2, ["1 (2)"]],
      ["low-rank", 1, ["1 (2)"]],
      ["oas", undefined, []],
    ] as const) {
      for (const jitter of ["relative", 1e-3] as const) {
        const { warnings: found } = await GaussianMixture.fit(pair.features, pair.labels, { covariance, rank, jitter });
        expect(found).toEqual(named.map((of) => expect.stringContaining(`too few samples for covariance "${covariance}" in class ${of}`)));
      }
    }
    const few = featureSet("few in all", 12, [4, 5]);
    expect((await GaussianMixture.fit(few.features, few.labels, { covariance: "tied" })).warnings).toEqual([
      expect.stringContaining("9 samples"),
    ]);
  });
});

describe("files", () => {
  test.each(["full", "tied", "diagonal", "ledoit-wolf", "oas"] as const)("%s goes through a file to the last bit", async (covariance) => {
    const s = set("class 2 missing");
    const path = join(directory, `${covariance}.safetensors`);
    const gmm = await GaussianMixture.fit(s.features, s.labels, { covariance, prior: "uniform" });
    await gmm.save(path);
    const loaded = await GaussianMixture.load(path);
    expect(await loaded.logDensity(s.queries)).toEqual(await gmm.logDensity(s.queries));
    const { numClasses, featureDim, prior, jitterRule, counts, jitter, shrinkage, warnings } = gmm;
    expect(loaded).toMatchObject({ numClasses, featureDim, covariance, prior, jitterRule, counts, jitter, shrinkage, warnings });
  });

  test.each(["full", "diagonal"] as const)(
    "%s: rows of classes without samples, as version 0.1 wrote them, are passed over",
    async (covariance) => {
      const s = set("class 2 missing");
      const path = join(directory, `${covariance}-of-all.safetensors`);
      const gmm = await GaussianMixture.fit(s.features, s.labels, { covariance });
      await gmm.save(path);
      const { tensors, metadata } = await readSafetensors(path);
      const row = 8 * s.dim;
      const older = [...tensors].map(([name, tensor]) => {
        if (!["mean", "mean_low", "deviation"].includes(name)) return { name, ...tensor };
        const data = Uint8Array.of(...tensor.data.subarray(0, 2 * row), ...new Uint8Array(row), ...tensor.data.subarray(2 * row));
        return { ...tensor, name, shape: [s.numClasses, s.dim], data };
      });
      await writeSafetensors(path, older, { metadata });
      expect(await (await GaussianMixture.load(path)).logDensity(s.queries)).toEqual(await gmm.logDensity(s.queries));
    },
  );

  test("a damaged file is refused with what is wrong", async () => {
    const s = set("class 2 missing");
    const path = join(directory, "damaged.safetensors");
    await (await GaussianMixture.fit(s.features, s.labels)).save(path);
    const { tensors, metadata } = await readSafetensors(path);
    const description = JSON.parse(metadata.get("description") as string) as object;
    const rewrite = (meta: object, change: (name: string, values: Uint8Array) => Uint8Array = (_, v) => v) =>
      writeSafetensors(
        path,
        [...tensors].map(([name, t]) => ({ name, ...t, data: change(name, t.data) })),
        {
          metadata: { ...Object.fromEntries(metadata), ...meta },
        },
      );
    const described = (change: object): object => ({ description: JSON.stringify({ ...description, ...change }) });
    const negated = (name: string, data: Uint8Array): Uint8Array => {
      if (name !== "cholesky.1") return data;
      const values = new Float64Array(data.slice().buffer);
      values[0] = -(values[0] as number);
      return new Uint8Array(values.buffer);
    };
    for (const [meta, message] of [
      [{ format: "libtorch-ood/class-statistics" }, "found class statistics (of ClassStatistics.save)"],
      [described({ covariance: "spherical" }), "covariance"],
      [described({ covariance: "tied" }), ""],
      [described({ covariance: "diagonal" }), "deviation"],
      [described({ prior: 3 }), "prior"],
      [described({ jitterRule: "big" }), "jitterRule"],
      [described({ featureDim: 6 }), "mean"],
      [described({ numClasses: 0 }), "numClasses"],
    ] as const) {
      await rewrite(meta);
      if (message === "") continue;
      await expect(GaussianMixture.load(path)).rejects.toThrow(refused("ERR_CORRUPT_FILE", message));
    }
    await rewrite({}, negated);
    await expect(GaussianMixture.load(path)).rejects.toThrow(refused("ERR_CORRUPT_FILE", "cholesky.1"));
  });
});

describe("refusals", () => {
  const s = set("random");
  test("features, labels and options", async () => {
    const gmm = await GaussianMixture.fit(s.features, s.labels);
    const data = s.queries.data.slice();
    data[2 * 8 + 1] = NaN;
    await expect(gmm.logDensity({ data, shape: [6, 8] })).rejects.toThrow(refused("ERR_NON_FINITE", "row 2"));
    data[2 * 8 + 1] = Infinity;
    for (const call of ["logDensity", "classLogDensities", "responsibilities", "predict"] as const) {
      await expect(gmm[call]({ data, shape: [6, 8] })).rejects.toThrow(refused("ERR_NON_FINITE", "row 2"));
      await expect(gmm[call]({ data: new Float64Array(7), shape: [1, 7] })).rejects.toThrow(refused("ERR_SHAPE"));
      await expect(gmm[call]({ data: new Float64Array(8), shape: [8] })).rejects.toThrow(refused("ERR_SHAPE"));
      await expect(gmm[call]({ data: new Int32Array(8), shape: [1, 8] })).rejects.toThrow(refused("ERR_DTYPE"));
      await expect(gmm[call](s.queries, { signal: AbortSignal.abort() })).rejects.toThrow(refused("ERR_ABORTED"));
      await expect(gmm[call](s.queries, { sginal: 1 } as never)).rejects.toThrow(refused("ERR_OPTION"));
    }
    await expect(GaussianMixture.fit(s.features, s.labels.subarray(1))).rejects.toThrow(refused("ERR_SHAPE"));
    await expect(GaussianMixture.fit(s.features, [])).rejects.toThrow(refused("ERR_SHAPE"));
    await expect(GaussianMixture.fit(s.features, s.labels, { numClasses: 4 })).rejects.toThrow(refused("ERR_RANGE"));
    await expect(
      GaussianMixture.fit(
        s.features,
        s.labels.map((x) => x - 1),
      ),
    ).rejects.toThrow(refused("ERR_RANGE"));
    await expect(GaussianMixture.fit(s.features, s.labels, { covariance: "spherical" as never })).rejects.toThrow(refused("ERR_OPTION"));
    await expect(GaussianMixture.fit(s.features, s.labels, { prior: "flat" as never })).rejects.toThrow(refused("ERR_OPTION"));
    await expect(GaussianMixture.fit(s.features, s.labels, { jitter: -1 })).rejects.toThrow(refused("ERR_RANGE"));
    await expect(GaussianMixture.fit(s.features, s.labels, { jitter: "big" as never })).rejects.toThrow(refused("ERR_OPTION"));
    await expect(GaussianMixture.fit(s.features, s.labels, { shrinkage: 1 } as never)).rejects.toThrow(refused("ERR_OPTION"));
    await expect(GaussianMixture.fit(s.features, s.labels, { covariance: "low-rank" })).rejects.toThrow(refused("ERR_OPTION", "rank"));
    await expect(GaussianMixture.fit(s.features, s.labels, { rank: 2 })).rejects.toThrow(refused("ERR_OPTION", "rank"));
    await expect(GaussianMixture.fit(s.features, s.labels, { covariance: "low-rank", rank: 8 })).rejects.toThrow(
      refused("ERR_RANGE", "rank"),
    );
    gmm.dispose();
    gmm.dispose();
    await expect(gmm.logDensity(s.queries)).rejects.toThrow(refused("ERR_DISPOSED"));
  });

  test("the largest finite features are no infinity, whatever they sum to", async () => {
    const gmm = await GaussianMixture.fit(s.features, s.labels);
    const scores = await gmm.logDensity({ data: new Float32Array(16).fill(3e38), shape: [2, 8] });
    expect(scores.every(Number.isFinite)).toBe(true);
  });

  test("a row beyond float64's squares is named; the others of another call are not lost", async () => {
    const gmm = await GaussianMixture.fit(s.features, s.labels);
    for (const size of [1e160, 1e200, 1.7e308]) {
      const data = s.queries.data.slice();
      data[3 * 8 + 1] = size;
      data[3 * 8 + 2] = -size;
      for (const call of ["logDensity", "classLogDensities", "responsibilities", "predict"] as const) {
        await expect(gmm[call]({ data, shape: [6, 8] })).rejects.toThrow(refused("ERR_RANGE", "row 3"));
      }
    }
  });

  test("features whose variances are beyond float64", async () => {
    const times = (factor: number) => ({ ...s.features, data: s.features.data.map((x) => x * factor) });
    for (const covariance of ["full", "tied", "diagonal", "ledoit-wolf", "oas"] as const) {
      const fit = (factor: number) => GaussianMixture.fit(times(factor), s.labels, { covariance });
      await expect(fit(1e160)).rejects.toThrow(refused("ERR_RANGE", "features"));
      await expect(fit(1e307)).rejects.toThrow(refused("ERR_RANGE", "features"));
      for (const factor of [1e-156, 1e-200]) {
        await expect(fit(factor)).rejects.toThrow(refused("ERR_RANGE", "values that vary by at least about 1e-140"));
      }
      expect((await fit(1e-130)).jitter.every((jitter) => jitter < 1e-260)).toBe(true);
      const jitter = Number.MAX_VALUE; // beside variances of about 1e305
      await expect(GaussianMixture.fit(times(1e153), s.labels, { covariance, jitter })).rejects.toThrow(refused("ERR_RANGE", "jitter"));
    }
  });

  test("NaN in the features of a fit names the row", async () => {
    const data = s.features.data.slice();
    data[33 * 8] = NaN;
    await expect(GaussianMixture.fit({ data, shape: s.features.shape }, s.labels)).rejects.toThrow(refused("ERR_NON_FINITE", "row 33"));
  });
});

test("rotation leaves log densities as they are (property)", async () => {
  const s = set("two dimensions");
  const gmm = await GaussianMixture.fit(s.features, s.labels);
  const wanted = await gmm.logDensity(s.queries);
  await fc.assert(
    fc.asyncProperty(fc.double({ min: 0, max: 2 * Math.PI, noNaN: true }), async (angle) => {
      const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
      const turn = (data: Float64Array): Float64Array =>
        data.map((x, i) => (i % 2 === 0 ? cos * x - sin * (data[i + 1] as number) : sin * (data[i - 1] as number) + cos * x));
      const turned = await GaussianMixture.fit({ data: turn(s.features.data), shape: s.features.shape }, s.labels);
      const found = await turned.logDensity({ data: turn(s.queries.data), shape: s.queries.shape });
      found.forEach((value, k) => expect(relative(value, wanted[k] as number)).toBeLessThan(1e-11));
    }),
    { numRuns: 10 },
  );
});
