// Measures a network after an epoch: accuracy, neural collapse of the training features, and how well each score tells the other sets apart.

import { Scope } from "../core/scope";
import {
  ClassStatistics,
  GaussianMixture,
  metrics,
  neuralCollapse,
  type Dataset,
  type Extraction,
  type Precision,
  type ResNet,
  type Tensor,
} from "../index";
import type { ExperimentData } from "./data";
import { fitScores, Mixtures, outputsFor, type FitChoices } from "./fitted-scores";
import { featureMixture, type MeasuredScore } from "./measured-scores";
import type { MeasurementRow, OodResult, SampledPoints } from "./rows";

export interface MeasureChoices extends FitChoices {
  readonly precision: Precision;
  /** Number of singular values, and of samples of each set; 0 for none. */
  readonly singularValues: number;
  readonly samples: number;
}

/** The fields of a row that are measured of the network. */
export type Measured = Pick<MeasurementRow, "accuracy" | "collapse" | "ood" | "jitter" | "singularValues" | "samples"> & {
  /** Deviations from the estimator that was asked for, in words. */
  readonly notes: readonly string[];
};

/**
 * Measures a network. It reads the weights and does not change them.
 *
 * @throws what extraction, the mixtures and the collapse numbers throw: ERR_NON_FINITE for a network that gives NaN; ERR_NOT_POSITIVE_DEFINITE if features
 *   do not vary within classes; ERR_RANGE for a network whose class means coincide; ERR_ABORTED after an abort; ERR_OUT_OF_MEMORY
 */
export async function measure(model: ResNet, data: ExperimentData, choices: MeasureChoices): Promise<Measured> {
  const { precision, signal } = choices;
  const outputs = outputsFor(choices.scores);
  return Scope.run(async (scope) => {
    const see = async (dataset: Dataset): Promise<Extraction> => {
      const seen = (await model.extract(dataset, { outputs, precision, signal })) as Extraction;
      scope.ownAll(outputs.map((output) => seen[output]));
      return seen;
    };
    const train = await see(data.train);
    const collapse = await collapseOf(model, train, signal);
    const mixtures = new Mixtures(train, model.device, choices, scope);
    const mixture = await mixtures.over("features");
    const jitter = await relativeJitter(mixture, train);
    const fitted = await fitScores(model, train, mixtures, choices, scope);
    const directions = choices.singularValues > 0 ? await directionsOf(train, model.device, choices, scope) : undefined;
    // Without prototypes: a set may have any name.
    const singularValues = Object.create(null) as Record<string, readonly number[]>;
    const samples = Object.create(null) as Record<string, SampledPoints>;
    const lookAt = async (name: string, seen: Extraction): Promise<Map<MeasuredScore, Float64Array>> => {
      const scores = new Map<MeasuredScore, Float64Array>();
      for (const [name, score] of fitted) scores.set(name, await score.score(seen, { signal }));
      if (directions) singularValues[name] = await directions(seen.features);
      if (choices.samples > 0)
        samples[name] = sampled(seen, scores.get(featureMixture) ?? (await mixture.logDensity(seen.features, { signal })), choices.samples);
      for (const output of outputs) seen[output]?.dispose();
      return scores;
    };
    if (choices.samples > 0 || directions) await lookAt("train", train);
    const test = await see(data.test);
    const right = metrics.accuracy(metrics.predictedClass(matrix(test.logits)), test.labels);
    const inside = await lookAt("test", test);
    const ood = Object.create(null) as Record<string, Partial<Record<MeasuredScore, OodResult>>>;
    for (const [name, dataset] of data.ood) {
      const outside = await lookAt(name, await see(dataset));
      const results = choices.scores.map((score) => [score, detection(inside.get(score), outside.get(score))]);
      ood[name] = Object.fromEntries(results) as Partial<Record<MeasuredScore, OodResult>>;
    }
    return {
      ...{ accuracy: right, collapse, ood: ood as MeasurementRow["ood"], jitter, notes: mixtures.notes },
      singularValues: directions && singularValues,
      samples: choices.samples > 0 ? samples : undefined,
    };
  });
}

/** Neural collapse as in section 4.1 of the seed paper: training features without augmentation, evaluation mode; NC4 against the network's predictions. */
async function collapseOf(model: ResNet, train: Extraction, signal: AbortSignal | undefined): Promise<MeasurementRow["collapse"]> {
  return Scope.run(async (scope) => {
    const weights = await model.weights();
    scope.ownAll(weights.values());
    const numbers = await neuralCollapse.measure({
      features: train.features,
      labels: train.labels,
      predictions: metrics.predictedClass(matrix(train.logits)),
      weight: weights.get("fc.weight") as Tensor,
      device: model.device,
      signal,
    });
    const { nc1, enMeans, enClassifier, eaMeans, eaClassifier, nc3, nc4, rank } = numbers;
    return { nc1, enMeans, enClassifier, eaMeans, eaClassifier, nc3, nc4, rank };
  });
}

/** The largest jitter of a class in units of the mean variance tr(Σ_c)/d of its features, which makes different networks comparable. */
async function relativeJitter(mixture: GaussianMixture, { features, labels }: Extraction): Promise<number> {
  if (mixture.jitter.every((jitter) => jitter === 0)) return 0;
  const { numClasses, featureDim, device } = mixture;
  const [own, pooled] = await Scope.run(async (scope) => {
    const statistics = scope.own(new ClassStatistics({ numClasses, featureDim, scatter: "diagonal", device }));
    await statistics.update(features, labels);
    const own: number[] = [];
    let [scatter, divisor] = [0, 0];
    for (const [label, count] of mixture.counts.entries()) {
      const variance = count > 1 ? await meanVariance(statistics, label) : 0;
      own.push(variance);
      scatter += variance * Math.max(0, count - 1);
      divisor += Math.max(0, count - 1);
    }
    return [own, scatter / divisor] as const; // the pooled one stands in where a class has no variance of its own, as it did for the jitter
  });
  const shares = mixture.jitter.map((jitter, label) => (jitter === 0 ? 0 : jitter / ((own[label] as number) || pooled)));
  return Math.max(...shares);
}

async function meanVariance(statistics: ClassStatistics, of: number): Promise<number> {
  const values = await Scope.run(async (scope) => scope.own(await statistics.covariance({ of })).toArray() as Float64Array);
  const d = statistics.featureDim;
  let trace = 0;
  for (let i = 0; i < d; i++) trace += values[i * d + i] as number;
  return trace / d;
}

/**
 * How far each set reaches along the leading right singular vectors of the training features (Fig. 6), as a root mean square per image, since lengths grow
 * with the root of the number of images, which differs between sets. For the training features these are the singular values / √N.
 */
async function directionsOf(
  train: Extraction,
  device: string,
  { singularValues, signal }: MeasureChoices,
  scope: Scope,
): Promise<(features: Tensor) => Promise<number[]>> {
  const [rows, dimensions] = train.features.shape as [number, number];
  const k = Math.min(singularValues, rows, dimensions);
  const { basis, centre } = await neuralCollapse.singularValues(train.features, { k, device, signal });
  scope.own(basis);
  return async (features) => {
    const { lengths, count } = await neuralCollapse.projectedSingularValues({ basis, centre }, features, { device, signal });
    return Array.from(lengths, (length) => length / Math.sqrt(count));
  };
}

/** How well a score tells two sets apart; in-distribution is the positive class. */
function detection(inside: Float64Array | undefined, outside: Float64Array | undefined): OodResult {
  const [id, ood] = [inside as Float64Array, outside as Float64Array];
  return {
    auroc: metrics.auroc(id, ood),
    auprIn: metrics.aupr(id, ood, { positive: "in" }),
    auprOut: metrics.aupr(id, ood, { positive: "out" }),
    fpr95: metrics.fprAtTpr(id, ood, { positive: "in", tpr: 0.95 }),
    falsePositives: metrics.falsePositivesAmongTop(id, ood),
  };
}

/** Samples of every n-th image of a set; with features only if they have two dimensions. */
function sampled({ features, labels }: Extraction, logDensity: Float64Array, wanted: number): SampledPoints {
  const total = logDensity.length;
  const count = Math.min(wanted, total);
  const chosen = Array.from({ length: count }, (_, i) => Math.floor((i * total) / count));
  const planar = features.shape[1] === 2 ? features.toArray() : undefined;
  return {
    logDensity: chosen.map((i) => logDensity[i] as number),
    features: planar && chosen.map((i) => [Number(planar[2 * i]), Number(planar[2 * i + 1])]),
    labels: chosen.map((i) => labels[i] as number),
  };
}

function matrix(tensor: Tensor): { data: Float32Array; shape: readonly number[] } {
  return { data: tensor.toArray() as Float32Array, shape: tensor.shape };
}
