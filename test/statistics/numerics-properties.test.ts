// Every numeric function over odd rows: far, huge, tiny, equal, collinear, duplicated. Nothing comes out as NaN or infinity; scaling by a power
// of two and shifting rows that stay exact change answers as they have to.

import { ClassStatistics, GaussianMixture, linalg, metrics, neuralCollapse, scores, Tensor, type Covariance } from "../../lib";
import { isLibtorchOodError } from "../../lib/core/errors";

const [rows, columns, classes] = [36, 4, 3];
const labels = Int32Array.from({ length: rows }, (_, row) => row % classes);

interface Matrix {
  data: Float64Array;
  shape: [number, number];
}
/** What the functions see: training rows, and queries in the same units. */
interface Sets {
  features: Matrix;
  queries: Matrix;
}

/** Rows and queries of three classes in multiples of 2^-10, so that shifts by 2^24 and scales by 2^k are exact. */
function grid(): Sets {
  let state = 1;
  const unit = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32 - 0.5;
  const some = (count: number): Matrix => ({
    data: Float64Array.from({ length: count * columns }, (_, i) => {
      const row = Math.floor(i / columns);
      return Math.round(1024 * (unit() + unit() + 2 * +(row % classes === i % columns))) / 1024;
    }),
    shape: [count, columns],
  });
  return { features: some(rows), queries: some(6) };
}

const plain = grid();
const mapped = ({ data, shape }: Matrix, change: (x: number, column: number, row: number) => number): Matrix => ({
  data: data.map((x, i) => change(x, i % columns, Math.floor(i / columns))),
  shape,
});
const both = (change: (x: number, column: number, row: number) => number, sets = plain): Sets => ({
  features: mapped(sets.features, change),
  queries: mapped(sets.queries, change),
});
const times = (power: number): Sets => both((x) => x * 2 ** Math.trunc(power / 2) * 2 ** (power - Math.trunc(power / 2)));

const oddSets: Record<string, Sets> = {
  "ordinary rows": plain,
  "a far row, 1e6": both((x, _, row) => (row === 5 ? 1e6 : x)),
  "a far row, 1e154": both((x, _, row) => (row === 5 ? 1e154 : x)),
  "a far row, 1.7e308": both((x, _, row) => (row === 5 ? 1.7e308 : x)),
  "far queries, 1e200": { features: plain.features, queries: mapped(plain.queries, (x) => 1e200 * x) },
  "far queries, ±1.7e308": { features: plain.features, queries: mapped(plain.queries, (x) => 1.7e308 * Math.sign(x)) },
  "1e154": both((x) => 1e154 * x),
  "1e200": both((x) => 1e200 * x),
  "±1.7e308": both((x) => 1.7e308 * Math.sign(x)),
  "1e-100": both((x) => 1e-100 * x),
  "1e-155": both((x) => 1e-155 * x),
  "1e-200": both((x) => 1e-200 * x),
  "1e-310": both((x) => 1e-310 * x),
  "5e-324": both((x) => 5e-324 * Math.sign(x)),
  "a column of 1e-160 among others": both((x, column) => (column === 1 ? 1e-160 * x : x)),
  "columns from 1e-150 to 1e150": both((x, column) => 10 ** (100 * column - 150) * x),
  zeros: both(() => 0),
  "equal rows of 0.1": both(() => 0.1),
  "equal rows of 1e308": both(() => 1e308),
  "a class of equal rows": both((x, _, row) => (row % classes === 1 ? 0.1 : x)),
  "a constant column": both((x, column) => (column === 2 ? 0.1 : x)),
  "a duplicated column": both((_, column, row) => plain.features.data[row * columns + Math.min(column, 2)] as number),
  "collinear rows": both((_, column, row) => (column + 1) * (plain.features.data[row * columns] as number)),
  "every row twice": both((_, column, row) => plain.features.data[(row - (row % 6) + (row % 3)) * columns + column] as number),
  "shifted by 1e8": both((x) => x + 1e8),
  "shifted by 1e300": both((x) => x + 1e300),
};

type Numbers = number | ArrayLike<number> | Tensor | undefined | Numbers[] | { readonly [key: string]: unknown };

/** All numbers of an answer. */
function numbersOf(answer: unknown): number[] {
  if (typeof answer === "number") return [answer];
  if (answer instanceof Tensor) return Array.from(answer.toArray() as Float64Array, Number);
  if (ArrayBuffer.isView(answer)) return Array.from(answer as Float64Array);
  if (typeof answer !== "object" || answer === null) return [];
  return Object.values(answer).flatMap(numbersOf);
}

const weight = { data: Float64Array.from({ length: classes * columns }, (_, i) => ((i * 7) % 5) - 2), shape: [classes, columns] };
const logits = (count: number) => ({
  data: Float64Array.from({ length: count * classes }, (_, i) => (i * 5) % 7),
  shape: [count, classes],
});
const covariances: Covariance[] = ["full", "tied", "diagonal", "ledoit-wolf", "oas", "low-rank"];

/** Each function of rows, by name: a further one is a line here. */
const functions: Record<string, (sets: Sets) => Promise<unknown> | unknown> = {
  ...Object.fromEntries(
    covariances.map((covariance) => [
      `mixture, ${covariance}`,
      async ({ features, queries }: Sets): Promise<Numbers> => {
        using mixture = await GaussianMixture.fit(features, labels, { covariance, rank: covariance === "low-rank" ? 2 : undefined });
        const answers = [mixture.logDensity(queries), mixture.classLogDensities(queries), mixture.responsibilities(queries)];
        return [...(await Promise.all(answers)), await mixture.predict(queries), await mixture.parameters(1), mixture.jitter] as Numbers;
      },
    ]),
  ),
  "mixture from statistics": async ({ features, queries }) => {
    const statistics = new ClassStatistics({ numClasses: classes, featureDim: columns });
    await statistics.update(features, labels);
    return (await GaussianMixture.fromStatistics(statistics)).logDensity(queries);
  },
  ...Object.fromEntries(
    (["gaussian-mixture", "mahalanobis", "relative-mahalanobis"] as const).map((name) => [
      name,
      async ({ features, queries }: Sets) => (await scores.fit(name, { features, labels })).score({ features: queries }),
    ]),
  ),
  "nearest neighbours": async ({ features, queries }) =>
    (await scores.fit("nearest-neighbours", { features }, { k: 3 })).score({ features: queries }),
  "nearest neighbours, lengths kept": async ({ features, queries }) =>
    (await scores.fit("nearest-neighbours", { features }, { k: 3, normalize: false })).score({ features: queries }),
  vim: async ({ features, queries }) =>
    (
      await scores.fit("vim", { features, logits: logits(rows), weight, bias: { data: Float64Array.of(1, 0, -1), shape: [classes] } })
    ).score({
      features: queries,
      logits: logits(6),
    }),
  "feature norm": async ({ queries }) => (await scores.fit("feature-norm")).score({ rawFeatures: queries }),
  "class statistics": async ({ features }) => {
    const statistics = new ClassStatistics({ numClasses: classes, featureDim: columns });
    await statistics.update(features, labels);
    const [means, own] = [await statistics.means(), await statistics.covariance({ of: 0 })];
    return [means, own, await statistics.covariance({ of: "pooled" }), await statistics.covariance({ of: "global" })];
  },
  "collapse numbers": ({ features }) => neuralCollapse.measure({ features, labels, weight, variants: true }),
  "collapse numbers, the rows as weight": ({ features }) =>
    neuralCollapse.measure({ features, labels, weight: { data: features.data.slice(0, classes * columns), shape: [classes, columns] } }),
  "collapse numbers of means": ({ features }) => neuralCollapse.measure({ features, labels, variants: true }),
  "collapse numbers from statistics": async ({ features }) => {
    const statistics = new ClassStatistics({ numClasses: classes, featureDim: columns, scatter: "pooled" });
    await statistics.update(features, labels);
    return neuralCollapse.measureStatistics({ statistics, weight });
  },
  "collapse loss": async ({ features }) => {
    const { terms, gradients } = await neuralCollapse.loss({ features, labels, weight });
    return [Object.values(terms), gradients.features, gradients.weight];
  },
  ...Object.fromEntries(
    (["max-softmax", "max-logit", "entropy", "energy"] as const).map((name) => [
      name,
      async ({ queries }: Sets) => (await scores.fit(name)).score({ logits: queries }),
    ]),
  ),
  "logit metrics": ({ queries }) => [
    metrics.softmaxConfidence(queries, { temperature: 3 }),
    metrics.softmaxEntropy(queries, { temperature: 3 }),
    metrics.maxLogit(queries),
    metrics.predictedClass(queries),
  ],
  temperature: ({ queries }) => metrics.fitTemperature(queries, [0, 1, 2, 3, 0, 1]),
  summary: ({ queries }) => metrics.summary(queries.data),
  correlation: ({ features, queries }) => metrics.pearson(features.data.slice(0, 24), queries.data),
  "threshold metrics": ({ features, queries }) => {
    const { sets } = metrics.evaluate(features.data, { queries: queries.data });
    const { falsePositiveRate, truePositiveRate } = metrics.rocCurve(features.data, queries.data);
    const top = metrics.falsePositivesAmongTop(features.data, queries.data);
    const interval = metrics.bootstrapInterval(features.data, queries.data, { resamples: 50 });
    return [sets, falsePositiveRate, truePositiveRate, metrics.prCurve(features.data, queries.data), top, interval];
  },
  "bootstrap of a difference": ({ features, queries }) => {
    const statistic = (id: Float64Array, ood: Float64Array): number => (id[0] as number) / 2 - (ood[0] as number) / 2;
    return metrics.bootstrapInterval(features.data, queries.data, { statistic, resamples: 50 });
  },
  covariance: ({ features }) => linalg.covariance(features),
  "covariance by class": ({ features }) => linalg.covariance(features, { labels, of: "classes" }),
  "covariance, pooled": ({ features }) => linalg.covariance(features, { labels, of: "pooled" }),
  pinv: ({ features }) => linalg.pinv(features),
  svdvals: ({ features }) => linalg.svdvals(features),
  logdet: async ({ features }) => {
    const { sign, logarithm } = await linalg.logdet({ data: features.data.slice(0, 16), shape: [4, 4] });
    return sign[0] === 0 && logarithm[0] === -Infinity ? [] : [sign, logarithm]; // as documented
  },
  ...Object.fromEntries(
    (["eigh", "cholesky", "pinv"] as const).map((name) => [
      `${name} of a symmetric matrix`,
      async ({ features: { data } }: Sets) => {
        const symmetric = Float64Array.from(
          { length: 16 },
          (_, i) => data[5 * Math.min(i >> 2, i & 3) + Math.max(i >> 2, i & 3)] as number,
        );
        const matrix = { data: symmetric, shape: [4, 4] };
        if (name === "eigh") return linalg.eigh(matrix);
        return name === "pinv" ? linalg.pinv(matrix, { hermitian: true }) : linalg.cholesky(matrix, { jitter: "relative" });
      },
    ]),
  ),
  "singular values": ({ features }) => neuralCollapse.singularValues(features, { k: 2 }),
  "singular values, centred": ({ features }) => neuralCollapse.singularValues(features, { k: 2, centred: true }),
  "projected singular values": async ({ features, queries }) =>
    neuralCollapse.projectedSingularValues(await neuralCollapse.singularValues(plain.features, { k: 2 }), {
      data: Float64Array.from([...features.data, ...queries.data]),
      shape: [rows + 6, columns],
    }),
};

const numericCodes = ["ERR_RANGE", "ERR_NON_FINITE", "ERR_NOT_POSITIVE_DEFINITE"];

describe.each(Object.keys(functions))("%s", (name) => {
  const call = functions[name] as (sets: Sets) => Promise<unknown> | unknown;

  test.each(Object.keys(oddSets))("%s: numbers, or an error that says why", async (which) => {
    try {
      const numbers = numbersOf(await call(oddSets[which] as Sets));
      expect(numbers.filter((value) => !Number.isFinite(value))).toEqual([]);
    } catch (error) {
      if (!isLibtorchOodError(error)) throw error;
      expect(numericCodes).toContain(error.code);
    }
  });
});

const nearly = (found: ArrayLike<number>, wanted: ArrayLike<number>, tolerance: number): void => {
  expect(found).toHaveLength(wanted.length);
  const largest = Array.from(wanted).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  Array.from(wanted).forEach((x, i) => {
    if (!(Math.abs((found[i] as number) - x) <= tolerance * largest)) expect(found[i]).toBe(x);
  });
};

const lossTerms = async (features: Sets["features"]): Promise<number[]> =>
  Object.values((await neuralCollapse.loss({ features, labels, weight })).terms);
const collapseOf = (name: string) => async (sets: Sets) => numbersOf(await functions[name]?.(sets));

/** What scaling of rows and queries by 2^power does: a factor 2^(degree·power), and so many log 2^power less. */
const scaled: Record<string, { call: (sets: Sets) => Promise<ArrayLike<number>>; degree: number; logarithms?: number }> = {
  ...Object.fromEntries(
    covariances.map((covariance) => [
      `mixture, ${covariance}`,
      {
        call: async ({ features, queries }: Sets) => {
          const rank = covariance === "low-rank" ? 2 : undefined;
          return (await GaussianMixture.fit(features, labels, { covariance, rank })).logDensity(queries);
        },
        degree: 0,
        logarithms: columns,
      },
    ]),
  ),
  ...Object.fromEntries(
    (["mahalanobis", "relative-mahalanobis", "nearest neighbours"] as const).map((name) => [
      name,
      { call: async (sets: Sets) => functions[name]?.(sets) as Promise<Float64Array>, degree: 0 },
    ]),
  ),
  "nearest neighbours, lengths kept": {
    call: async (sets) => functions["nearest neighbours, lengths kept"]?.(sets) as Promise<Float64Array>,
    degree: 1,
  },
  "feature norm": { call: async (sets) => functions["feature norm"]?.(sets) as Promise<Float64Array>, degree: 1 },
  "singular values": { call: async ({ features }) => (await neuralCollapse.singularValues(features)).values, degree: 1 },
  pinv: { call: async ({ features }) => (await linalg.pinv(features)).toArray() as Float64Array, degree: -1 },
  svdvals: { call: async ({ features }) => (await linalg.svdvals(features)).toArray() as Float64Array, degree: 1 },
  "collapse numbers": { call: collapseOf("collapse numbers of means"), degree: 0 },
  "collapse numbers from statistics": { call: collapseOf("collapse numbers from statistics"), degree: 0 },
  "collapse loss": { call: async ({ features }) => lossTerms(features), degree: 0 },
};

describe.each(Object.keys(scaled))("%s", (name) => {
  const { call, degree, logarithms = 0 } = scaled[name] as (typeof scaled)[string];
  test.each([-300, -100, 100, 300])("scales with the rows, 2^%i", async (power) => {
    const wanted = await call(plain);
    const found = await call(times(power));
    nearly(
      Array.from(found, (x) => x / 2 ** (degree * power) + logarithms * power * Math.LN2),
      wanted,
      1e-12,
    );
  });
});

/** Functions of differences alone: rows and queries may be shifted. */
const shifted: Record<string, (sets: Sets) => Promise<ArrayLike<number>>> = {
  ...Object.fromEntries(covariances.map((covariance) => [`mixture, ${covariance}`, scaled[`mixture, ${covariance}`]?.call])),
  mahalanobis: async (sets) => functions.mahalanobis?.(sets) as Promise<Float64Array>,
  "relative-mahalanobis": async (sets) => functions["relative-mahalanobis"]?.(sets) as Promise<Float64Array>,
  "nearest neighbours": async (sets) => functions["nearest neighbours, lengths kept"]?.(sets) as Promise<Float64Array>,
  covariance: async ({ features }) => (await linalg.covariance(features)).toArray() as Float64Array,
  "singular values, centred": async ({ features }) => (await neuralCollapse.singularValues(features, { centred: true })).values,
  "deviation of a list": async ({ features }) => [metrics.summary(features.data).sd],
  "collapse numbers": collapseOf("collapse numbers of means"),
  "collapse numbers from statistics": collapseOf("collapse numbers from statistics"),
  "collapse loss": async ({ features }) => lossTerms(features),
  "class covariances": async (sets) => numbersOf(await functions["class statistics"]?.(sets)).slice(classes * columns),
} as Record<string, (sets: Sets) => Promise<ArrayLike<number>>>;

describe.each(Object.keys(shifted))("%s", (name) => {
  const call = shifted[name] as (sets: Sets) => Promise<ArrayLike<number>>;
  test.each([24, 25])("stays where rows are shifted by 2^%i", async (power) => {
    const far = both((x) => x + 2 ** power);
    nearly(await call(far), await call(plain), 1e-12);
  });
  test("and where they differ by 1e-8 of a unit beside 2^24", async () => {
    const near = times(-18); // in steps of 2^-28, which 2^24 still holds
    const far = both((x) => x + 2 ** 24, near);
    nearly(await call(far), await call(near), 1e-12);
  });
});
