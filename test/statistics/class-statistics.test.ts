// ClassStatistics against 60-digit arithmetic and scikit-learn (test/reference/statistics.py), however the data is divided.

import * as fc from "fast-check";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import expected from "../reference/statistics.json";
import { ClassStatistics, type Scatter } from "../../lib/statistics/class-statistics";
import { GaussianMixture } from "../../lib/statistics/gaussian-mixture";
import { readSafetensors, toValues, writeSafetensors } from "../../lib/formats/safetensors";
import { Tensor } from "../../lib/native/tensor";
import { featureSet, featureSets, set, type FeatureSet } from "../support/feature-sets";

const refused = (code: string, message = "") => expect.objectContaining({ code, message: expect.stringContaining(message) });
const directory = mkdtempSync(join(tmpdir(), "class-statistics-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** Largest deviation relative to the largest expected magnitude. */
function deviation(found: ArrayLike<number>, wanted: ArrayLike<number>): number {
  expect(found.length).toBe(wanted.length);
  let scale = 0;
  let worst = 0;
  for (let i = 0; i < wanted.length; i++) {
    scale = Math.max(scale, Math.abs(wanted[i] as number));
    worst = Math.max(worst, Math.abs((found[i] as number) - (wanted[i] as number)));
  }
  return scale === 0 ? worst : worst / scale;
}

/** The arrays behind the statistics, by way of their file. */
async function arrays(statistics: ClassStatistics): Promise<Map<string, number[]>> {
  const path = join(directory, "arrays.safetensors");
  await statistics.save(path);
  const { tensors } = await readSafetensors(path);
  return new Map([...tensors].map(([name, { dtype, data }]) => [name, Array.from(toValues(dtype, data) as Float64Array)]));
}

function part(s: FeatureSet, indices: readonly number[]) {
  const data = new Float64Array(indices.length * s.dim);
  indices.forEach((index, i) => data.set(s.features.data.subarray(index * s.dim, (index + 1) * s.dim), i * s.dim));
  return { features: { data, shape: [indices.length, s.dim] }, labels: Int32Array.from(indices, (i) => s.labels[i] as number) };
}

async function statisticsOf(s: FeatureSet, batches?: readonly (readonly number[])[], scatter: "full" | "pooled" | "diagonal" = "full") {
  const statistics = new ClassStatistics({ numClasses: s.numClasses, featureDim: s.dim, scatter });
  if (batches === undefined) await statistics.update(s.features, s.labels);
  for (const batch of batches ?? []) {
    if (batch.length === 0) continue;
    const { features, labels } = part(s, batch);
    await statistics.update(features, labels);
  }
  return statistics;
}

const lowerDiagonal = (dim: number) => Array.from({ length: dim }, (_, i) => (i * (i + 3)) / 2);

describe.each(expected.cases)("$name", (c) => {
  const s = set(c.name);

  test("the feature set is the one that Python made", () => {
    expect(s.features.data[0]).toBe(c.first);
  });

  test("means, scatters and fourth moments equal exact arithmetic", async () => {
    const statistics = await statisticsOf(s);
    expect(await statistics.counts()).toEqual(s.counts);
    const found = await arrays(statistics);
    s.counts.forEach((count, label) => expect(found.has(`scatter.${label}`)).toBe(count > 0));
    const means = found.get("mean") as number[];
    const lower = c.columns.flatMap((i, a) => c.columns.slice(0, a + 1).map((j) => (i * (i + 1)) / 2 + j));
    for (const { label, ...wanted } of c.classes) {
      const mean = c.columns.map((j) => means[label * s.dim + j] as number);
      expect(deviation(mean, wanted.mean)).toBeLessThan(3e-16);
      // Rounding of the products alone: a scatter has 2n roundings per entry, the centred rows none to speak of.
      const scatter = found.get(`scatter.${label}`) as number[];
      expect(
        deviation(
          lower.map((place) => scatter[place] as number),
          wanted.scatter,
        ),
      ).toBeLessThan(1e-13);
      const trace = (found.get("trace") as number[])[label] as number;
      const fourth = ((found.get("fourth_ratio") as number[])[label] as number) * trace * trace;
      expect(deviation([fourth], [wanted.fourth])).toBeLessThan(1e-13);
    }
  });

  test("shrinkages equal scikit-learn's", async () => {
    if (c.classes.every((wanted) => wanted.shrinkage === null)) return; // one sample per class: no spread at all
    const statistics = await statisticsOf(s);
    for (const [covariance, key] of [
      ["ledoit-wolf", "ledoit_wolf"],
      ["oas", "oas"],
    ] as const) {
      const gmm = await GaussianMixture.fromStatistics(statistics, { covariance });
      // scikit-learn's own rounding, with its centring, is what limits the agreement under collapse
      for (const { label, shrinkage } of c.classes) {
        if (shrinkage !== null) expect(gmm.shrinkage[label]).toBeCloseTo(shrinkage[key], 8);
      }
    }
  });
});

describe("any division of the data gives the same statistics (trap 4)", () => {
  // All but the sets whose classes are too small to divide; "collapsed far from zero" loses 12 of 16 digits where E[x²] − E[x]² is used.
  const sets = ["random", "collapsed-1e-6", "collapsed-1e-12", "collapsed far from zero", "class 2 missing", "tiny scale", "large scale"];
  test.each(sets)("%s, in random batches and merges", async (name) => {
    const s = set(name);
    const whole = await arrays(await statisticsOf(s));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 7 }), { minLength: s.labels.length, maxLength: s.labels.length }),
        async (places) => {
          const batches: number[][] = Array.from({ length: 8 }, () => []);
          places.forEach((place, i) => (batches[place] as number[]).push(i));
          const left = await statisticsOf(s, batches.slice(0, 4));
          const right = await statisticsOf(s, batches.slice(4));
          await left.merge(right);
          const found = await arrays(left);
          expect([...found.keys()]).toEqual([...whole.keys()]);
          for (const [key, values] of found) {
            if (key === "mean_low") continue; // below the last digit of the mean
            // cubes nearly cancel between samples: they are measured against the largest single term
            const scale =
              key === "cube_ratio"
                ? Math.max(...(whole.get("fourth_ratio") as number[])) ** 0.75 /
                  Math.max(...(whole.get("cube_ratio") as number[]).map(Math.abs), 1e-300)
                : 1;
            expect(deviation(values, whole.get(key) as number[])).toBeLessThan(1e-12 * Math.max(1, scale));
          }
        },
      ),
      { numRuns: 8 },
    );
  });

  test("merging is associative and commutative (property)", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...sets),
        fc.constantFrom("full", "pooled", "diagonal" as const),
        fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 200, maxLength: 200 }),
        async (name, scatter, places) => {
          const s = set(name);
          const thirds = [0, 1, 2].map((k) => Array.from(s.labels.keys()).filter((i) => places[i] === k));
          const parts = () => Promise.all(thirds.map((third) => statisticsOf(s, [third], scatter)));
          type Three = [ClassStatistics, ClassStatistics, ClassStatistics];
          const [a, b, c] = (await parts()) as Three;
          const [d, e, f] = (await parts()) as Three;
          await a.merge(b); // (a + b) + c
          await a.merge(c);
          await e.merge(f); // (b + c) + a
          await e.merge(d);
          const [left, right] = [await arrays(a), await arrays(e)];
          expect([...left.keys()]).toEqual([...right.keys()]);
          for (const [key, values] of left) {
            if (key !== "mean_low" && key !== "cube_ratio") expect(deviation(values, right.get(key) as number[])).toBeLessThan(1e-12);
          }
        },
      ),
      { numRuns: 12 },
    );
  });

  // Of a sum of squares less a product of sums 4 digits are left on the last two.
  test.each(["class 2 missing", "collapsed-1e-12", "collapsed far from zero"])(
    "%s: pooled and diagonal scatters are the sum and the diagonals of the full ones",
    async (name) => {
      const s = set(name);
      const indices = Array.from(s.labels.keys());
      const batches = [indices.slice(0, 20), indices.slice(20, 21), indices.slice(21)];
      const full = await arrays(await statisticsOf(s));
      const labels = Array.from(s.counts.keys()).filter((label) => s.counts[label] !== 0);
      const present = labels.map((label) => full.get(`scatter.${label}`) as number[]);
      const sum = (present[0] as number[]).map((_, i) => present.reduce((total, scatter) => total + (scatter[i] as number), 0));
      const expectEqual = async (pooled: ClassStatistics, diagonal: ClassStatistics, tolerance: number): Promise<void> => {
        const [together, variances] = [await arrays(pooled), await arrays(diagonal)];
        expect(deviation(together.get("scatter") as number[], sum)).toBeLessThan(tolerance);
        for (const label of labels) {
          const wanted = lowerDiagonal(s.dim).map((i) => (full.get(`scatter.${label}`) as number[])[i] as number);
          const found = (variances.get("scatter") as number[]).slice(label * s.dim, (label + 1) * s.dim);
          expect(deviation(found, wanted)).toBeLessThan(tolerance);
        }
        for (const found of [together, variances]) {
          expect(deviation(found.get("trace") as number[], full.get("trace") as number[])).toBeLessThan(tolerance);
          expect(deviation(found.get("mean") as number[], full.get("mean") as number[])).toBeLessThan(tolerance);
        }
      };
      await expectEqual(await statisticsOf(s, batches, "pooled"), await statisticsOf(s, batches, "diagonal"), 1e-14);
      const merged = async (scatter: "pooled" | "diagonal"): Promise<ClassStatistics> => {
        const [whole, ...others] = await Promise.all(batches.map((batch) => statisticsOf(s, [batch], scatter)));
        for (const other of others) await whole?.merge(other);
        return whole as ClassStatistics;
      };
      await expectEqual(await merged("pooled"), await merged("diagonal"), 1e-12); // as above: the joins' own rounding
    },
  );

  test("batches of one sample, and of more rows than are gathered, give the same", async () => {
    const s = featureSet("long", 4, [3000, 2500]);
    const whole = await arrays(await statisticsOf(s));
    const single = await arrays(
      await statisticsOf(
        s,
        Array.from(s.labels.keys())
          .slice(0, 600)
          .map((i) => [i])
          .concat([Array.from(s.labels.keys()).slice(600)]),
      ),
    );
    for (const key of ["count", "mean", "scatter.0", "scatter.1", "trace", "fourth_ratio"]) {
      expect(deviation(single.get(key) as number[], whole.get(key) as number[])).toBeLessThan(1e-12);
    }
  });
});

test("float32 features, int64 labels and Tensors are taken", async () => {
  const s = set("random");
  const single = Float32Array.from(s.features.data);
  const statistics = new ClassStatistics({ numClasses: 5, featureDim: 8 });
  await statistics.update(Tensor.from(single, s.features.shape), Tensor.from(BigInt64Array.from(s.labels, BigInt)));
  const exact = new ClassStatistics({ numClasses: 5, featureDim: 8 });
  await exact.update({ data: Float64Array.from(single), shape: s.features.shape }, Array.from(s.labels));
  expect((await statistics.means()).toArray()).toEqual((await exact.means()).toArray());
  expect((await statistics.covariance({ of: 3 })).toArray()).toEqual((await exact.covariance({ of: 3 })).toArray());
});

/** Over all rows whatever their class, divisor N − 1, in two passes. */
function globalCovariance(s: FeatureSet): number[] {
  const [n, d] = s.features.shape;
  const value = (i: number, j: number): number => s.features.data[i * d + j] as number;
  const mean = Array.from({ length: d }, (_, j) => Array.from({ length: n }, (_v, i) => value(i, j)).reduce((a, b) => a + b) / n);
  return Array.from({ length: d * d }, (_, k) => {
    const [a, b] = [Math.floor(k / d), k % d];
    let sum = 0;
    for (let i = 0; i < n; i++) sum += (value(i, a) - (mean[a] as number)) * (value(i, b) - (mean[b] as number));
    return sum / (n - 1);
  });
}

test("the global covariance is not lost beside a large mean (trap 4)", async () => {
  const s = featureSet("global far from zero", 5, [20, 30, 25], { offset: 1e6 });
  const found = (await (await statisticsOf(s)).covariance({ of: "global" })).toArray() as Float64Array;
  // Means are rounded at 1e-10 of a spread of 1; E[x²] − E[x]² would be 4e-4 off.
  expect(deviation(found, globalCovariance(s))).toBeLessThan(1e-9);
});

test("covariances: of a class, pooled and global", async () => {
  const s = set("class 2 missing");
  const statistics = await statisticsOf(s);
  const [n, d] = s.features.shape;
  expect(deviation((await statistics.covariance({ of: "global" })).toArray() as Float64Array, globalCovariance(s))).toBeLessThan(1e-13);
  const pooled = (await statistics.covariance({ of: "pooled", ddof: 0 })).toArray() as Float64Array;
  const sum = new Float64Array(d * d);
  for (const label of [0, 1, 3]) {
    const own = (await statistics.covariance({ of: label, ddof: 0 })).toArray() as Float64Array;
    own.forEach((x, i) => (sum[i] = (sum[i] as number) + (x * (s.counts[label] as number)) / n));
  }
  expect(deviation(pooled, sum)).toBeLessThan(1e-14);
  await expect(statistics.covariance({ of: 2 })).rejects.toThrow(refused("ERR_SHAPE"));
  await expect(statistics.covariance({ of: 4 })).rejects.toThrow(refused("ERR_RANGE"));
  await expect(statistics.covariance({ of: "all" as never })).rejects.toThrow(refused("ERR_OPTION"));
});

describe("files", () => {
  test.each(["full", "pooled", "diagonal"] as const)(
    "%s statistics go through a file to the last bit, and can be continued",
    async (scatter) => {
      const s = set("class 2 missing");
      const indices = Array.from(s.labels.keys());
      const path = join(directory, `${scatter}.safetensors`);
      const statistics = await statisticsOf(s, [indices.slice(0, 40)], scatter);
      await statistics.save(path);
      const loaded = await ClassStatistics.load(path);
      expect(loaded).toMatchObject({ numClasses: 4, featureDim: 5, scatter });
      expect(await arrays(loaded)).toEqual(await arrays(statistics));
      const rest = part(s, indices.slice(40));
      await loaded.update(rest.features, rest.labels);
      await statistics.update(rest.features, rest.labels);
      expect(await arrays(loaded)).toEqual(await arrays(statistics));
    },
  );

  test("a file with the third and fourth moments themselves, as version 0.1 wrote them, is read", async () => {
    const s = set("class 2 missing");
    const indices = Array.from(s.labels.keys());
    const path = join(directory, "raw-moments.safetensors");
    const statistics = await statisticsOf(s, [indices.slice(0, 40)]);
    await statistics.save(path);
    const { tensors, metadata } = await readSafetensors(path);
    const traces = toValues("F64", (tensors.get("trace") as { data: Uint8Array }).data) as Float64Array;
    const older = [...tensors].map(([name, tensor]) => {
      const power = { cube_ratio: 1.5, fourth_ratio: 2 }[name];
      if (power === undefined) return { name, ...tensor };
      const perClass = name === "cube_ratio" ? s.dim : 1;
      const ratios = toValues("F64", tensor.data) as Float64Array;
      const data = ratios.map((ratio, i) => ratio * (traces[Math.floor(i / perClass)] as number) ** power);
      return { ...tensor, name: name.replace("_ratio", ""), data };
    });
    await writeSafetensors(path, older, { metadata });
    const [loaded, wanted] = [await arrays(await ClassStatistics.load(path)), await arrays(statistics)];
    expect([...loaded.keys()]).toEqual([...wanted.keys()]);
    for (const [key, values] of wanted) expect(deviation(loaded.get(key) as number[], values)).toBeLessThan(1e-14);
  });

  test("a damaged or foreign file is refused with what is wrong", async () => {
    const statistics = await statisticsOf(set("class 2 missing"));
    const path = join(directory, "damaged.safetensors");
    await statistics.save(path);
    const { tensors, metadata } = await readSafetensors(path);
    const write = (change: (name: string, data: Uint8Array) => Uint8Array, meta: Record<string, string> = {}, without = "") =>
      writeSafetensors(
        path,
        [...tensors].filter(([name]) => name !== without).map(([name, t]) => ({ name, ...t, data: change(name, t.data) })),
        { metadata: { ...Object.fromEntries(metadata), ...meta } },
      );
    const keep = (_: string, data: Uint8Array): Uint8Array => data;
    const nan = new Uint8Array(new Float64Array([NaN]).buffer);
    const withNan = (wanted: string) => (name: string, data: Uint8Array) =>
      name === wanted ? Uint8Array.of(...nan, ...data.subarray(8)) : data;
    const negative = (name: string, data: Uint8Array) => (name === "count" ? new Uint8Array(data.length).fill(255) : data);
    const description = JSON.parse(metadata.get("description") as string) as object;
    const described = (change: object) => ({ description: JSON.stringify({ ...description, ...change }) });
    for (const [damage, message] of [
      [() => write(keep, { format: "libtorch-ood/other" }), "format"],
      [() => write(keep, { version: "2" }), "version"],
      [() => write(keep, { description: "{" }), "JSON"],
      [() => write(keep, { description: "[]" }), "object"],
      [() => write(keep, described({ numClasses: 5 })), "mean"],
      [() => write(keep, described({ featureDim: 1e9 })), "featureDim"],
      [() => write(keep, described({ scatter: "none" })), "scatter"],
      [() => write(keep, described({ scatter: "pooled" })), "scatter"],
      [() => write(keep, {}, "scatter.1"), "scatter.1"],
      [() => write(keep, {}, "mean"), "mean"],
      [() => write(withNan("mean")), "mean"],
      [() => write(withNan("scatter.3")), "scatter.3"],
      [() => write(negative), "count"],
    ] as const) {
      await damage();
      await expect(ClassStatistics.load(path)).rejects.toThrow(
        expect.objectContaining({ code: "ERR_CORRUPT_FILE", message: expect.stringContaining(message) }),
      );
    }
    await expect(ClassStatistics.load(join(directory, "none"))).rejects.toThrow(refused("ERR_IO"));
  });
});

describe("refusals leave the statistics as they were", () => {
  const s = set("random");
  test("NaN and infinity name the row (trap 3)", async () => {
    const statistics = await statisticsOf(s);
    const before = await arrays(statistics);
    for (const bad of [NaN, Infinity, -Infinity]) {
      const data = s.features.data.slice();
      data[17 * s.dim + 3] = bad;
      await expect(statistics.update({ data, shape: s.features.shape }, s.labels)).rejects.toThrow(
        expect.objectContaining({ code: "ERR_NON_FINITE", message: expect.stringContaining("17") }),
      );
    }
    expect(await arrays(statistics)).toEqual(before);
  });

  test("labels, shapes and dtypes", async () => {
    const statistics = await statisticsOf(s);
    const before = await arrays(statistics);
    const one = { data: new Float64Array(8), shape: [1, 8] };
    await expect(statistics.update(one, [5])).rejects.toThrow(refused("ERR_RANGE"));
    await expect(statistics.update(one, [-1])).rejects.toThrow(refused("ERR_RANGE"));
    await expect(statistics.update(one, [0.5])).rejects.toThrow(refused("ERR_DTYPE"));
    await expect(statistics.update(one, [0, 1])).rejects.toThrow(refused("ERR_SHAPE"));
    await expect(statistics.update(one, [])).rejects.toThrow(refused("ERR_SHAPE"));
    await expect(statistics.update({ data: new Float64Array(7), shape: [1, 7] }, [0])).rejects.toThrow(refused("ERR_SHAPE"));
    await expect(statistics.update({ data: new Float64Array(8), shape: [8] }, [0])).rejects.toThrow(refused("ERR_SHAPE"));
    await expect(statistics.update({ data: new Float64Array(0), shape: [0, 8] }, [0])).rejects.toThrow(refused("ERR_SHAPE"));
    await expect(statistics.update({ data: new Int32Array(8), shape: [1, 8] }, [0])).rejects.toThrow(refused("ERR_DTYPE"));
    await expect(statistics.update([1, 2] as never, [0])).rejects.toThrow(refused("ERR_OPTION"));
    await expect(statistics.merge({} as never)).rejects.toThrow(refused("ERR_OPTION"));
    await expect(statistics.merge(await statisticsOf(set("two classes")))).rejects.toThrow(refused("ERR_SHAPE"));
    await expect(statistics.merge(await statisticsOf(s, undefined, "pooled"))).rejects.toThrow(refused("ERR_OPTION"));
    expect(await arrays(statistics)).toEqual(before);
    expect(() => new ClassStatistics({ numClasses: 0, featureDim: 3 })).toThrow(refused("ERR_RANGE"));
    expect(() => new ClassStatistics({ numClasses: 2, featureDim: 2, scatter: "none" as never })).toThrow(refused("ERR_OPTION"));
    expect(() => new ClassStatistics({ numClasses: 2, featureDim: 2, device: "cuda:99" })).toThrow(refused("ERR_DEVICE"));
  });

  test("an aborted update, and use after dispose", async () => {
    const statistics = await statisticsOf(s);
    const before = await arrays(statistics);
    await expect(statistics.update(s.features, s.labels, { signal: AbortSignal.abort() })).rejects.toThrow(refused("ERR_ABORTED"));
    expect(await arrays(statistics)).toEqual(before);
    statistics.dispose();
    statistics.dispose();
    await expect(statistics.counts()).rejects.toThrow(refused("ERR_DISPOSED"));
    await expect(statistics.update(s.features, s.labels)).rejects.toThrow(refused("ERR_DISPOSED"));
  });

  test("an update that is aborted half-way makes the statistics say so from then on", async () => {
    const big = featureSet("many parts", 256, [400, 400, 400, 400, 400, 400, 400, 400]);
    const statistics = new ClassStatistics({ numClasses: 8, featureDim: 256 });
    const controller = new AbortController();
    const update = statistics.update(big.features, big.labels, { signal: controller.signal });
    setTimeout(() => controller.abort(), 1);
    const ended = await update.then(
      () => "done",
      (error: { code: string }) => error.code,
    );
    const counts = await statistics.counts().catch((error: { code: string }) => error.code);
    // Whenever the abort comes: all of the batch is in, or none, or the statistics refuse.
    if (ended === "done") expect(counts).toEqual(big.counts);
    else
      expect(["ERR_ABORTED", JSON.stringify(new Array(8).fill(0))]).toContain(typeof counts === "string" ? counts : JSON.stringify(counts));
  });
});

describe("squares beyond float64", () => {
  const column = (...values: number[]) => ({ data: Float64Array.from(values), shape: [values.length, 1] });
  const statisticsFor = async (values: number[], labels: number[], scatter: Scatter = "full") => {
    const statistics = new ClassStatistics({ numClasses: 2, featureDim: 1, scatter });
    await statistics.update(column(...values), labels);
    return statistics;
  };

  test("a refused update makes the statistics say so from then on", async () => {
    const statistics = await statisticsFor([-1, 1], [0, 1]);
    await statistics.update(column(1e200, -1e200), [0, 0]); // gathered
    await expect(statistics.counts()).rejects.toThrow(refused("ERR_RANGE", "features: expected values of at most about 1e150"));
    await expect(statistics.counts()).rejects.toThrow(refused("ERR_ABORTED", "an update was aborted or refused half-way"));
  });

  test.each(["full", "pooled", "diagonal"] as const)("a refused merge changes nothing, %s", async (scatter) => {
    const statistics = await statisticsFor([0, 1, 0, 0], [0, 0, 1, 1], scatter);
    const before = (await statistics.means()).toArray();
    for (const far of [1e-155, 1e160]) {
      const other = await statisticsFor([0, 3, far, far], [0, 0, 1, 1], scatter);
      await expect(statistics.merge(other)).rejects.toThrow(refused("ERR_RANGE"));
      expect(await statistics.counts()).toEqual([2, 2]);
      expect((await statistics.means()).toArray()).toEqual(before);
    }
  });

  test("a shift that is nothing beside the variance is not refused", async () => {
    const statistics = await statisticsFor([-1, 1], [0, 0]);
    await statistics.merge(await statisticsFor([1e-200, 1e-200], [0, 0]));
    await statistics.update(column(5e-324), [0]);
    expect(await statistics.counts()).toEqual([5, 0]);
    expect((await statistics.covariance({ of: 0 })).toArray()).toEqual(Float64Array.of(0.5));
  });

  test("a covariance that overflows is refused", async () => {
    const far = await statisticsFor([9e153, -9e153, 9e153, -9e153], [0, 0, 1, 1], "pooled");
    await expect(far.covariance({ of: "pooled" })).rejects.toThrow(refused("ERR_RANGE", "covariance"));
  });
});

test("merging with itself doubles the counts, and calls that are not awaited run in order", async () => {
  const s = set("random");
  const statistics = new ClassStatistics({ numClasses: 5, featureDim: 8 });
  const calls = [statistics.update(s.features, s.labels), statistics.update(s.features, s.labels), statistics.merge(statistics)];
  expect(await statistics.counts()).toEqual(s.counts.map((n) => 4 * n));
  await Promise.all(calls);
});

test("every feature set is finite", () => {
  for (const s of featureSets) expect(s.features.data.every(Number.isFinite)).toBe(true);
});
