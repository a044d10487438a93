// Feature sets by the closed formula of test/reference/statistics_feature_sets.py, the same to the last bit as in Python, and the features
// and logits of a real network (test/reference/trained_features.mjs).

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseSafetensors, toValues } from "../../lib/formats/safetensors";
import { predictedClass } from "../../lib/metrics";
import { uniform, words } from "../models/resnet/closed-formula";

export interface FeatureSet {
  readonly name: string;
  readonly numClasses: number;
  readonly dim: number;
  readonly counts: readonly number[];
  readonly labels: Int32Array;
  readonly features: { data: Float64Array; shape: [number, number] };
  readonly weight: { data: Float64Array; shape: [number, number] };
  readonly bias: { data: Float64Array; shape: [number] };
  readonly predictions: Int32Array;
  readonly queries: { data: Float64Array; shape: [number, number] };
}

interface Recipe {
  offset?: number;
  between?: number;
  within?: number;
}

export function featureSet(name: string, dim: number, counts: readonly number[], recipe: Recipe = {}): FeatureSet {
  const { offset = 0, between = 1, within = 0.25 } = recipe;
  const numClasses = counts.length;
  const labels = Int32Array.from(
    Array.from({ length: Math.max(...counts) }, (_, k) => counts.flatMap((count, c) => (k < count ? [c] : []))).flat(),
  );
  const at = (values: Float64Array, i: number): number => values[i] as number;
  const unit = uniform(`${name}.mean`, numClasses * dim);
  const means = unit.map((r) => offset + between * r);
  const noise = uniform(`${name}.noise`, labels.length * dim);
  const common = uniform(`${name}.common`, labels.length);
  const features = new Float64Array(labels.length * dim);
  labels.forEach((label, i) => {
    for (let j = 0; j < dim; j++) {
      const spread = within * (1 + (j % 3));
      features[i * dim + j] = at(means, label * dim + j) + spread * at(noise, i * dim + j) + within * at(common, i);
    }
  });
  const random = uniform(`${name}.weight`, numClasses * dim);
  const marks = words(`${name}.prediction`, labels.length);
  const query = uniform(`${name}.query`, 6 * dim);
  const factors = [0.5, 1, 3, 30];
  const queries = Float64Array.from(query, (r, i) => {
    const k = Math.floor(i / dim);
    return k < 4 ? at(means, (k % numClasses) * dim + (i % dim)) + within * (factors[k] as number) * r : offset + 2 * between * r;
  });
  return {
    name,
    numClasses,
    dim,
    counts,
    labels,
    features: { data: features, shape: [labels.length, dim] },
    weight: { data: random.map((r, i) => r + 3 * at(unit, i)), shape: [numClasses, dim] },
    bias: { data: uniform(`${name}.bias`, numClasses), shape: [numClasses] },
    predictions: labels.map((label, i) => ((marks[i] as number) % 7 === 0 ? (label + 1) % numClasses : label)),
    queries: { data: queries, shape: [6, dim] },
  };
}

/** Arrays of trained_features.safetensors by name. */
export function trained(name: string): { data: Float32Array | Uint8Array; shape: [number, number] } {
  const { dtype, shape, data } = trainedFile.get(name) as NonNullable<ReturnType<typeof trainedFile.get>>;
  return { data: toValues(dtype, data) as Float32Array | Uint8Array, shape: shape as [number, number] };
}
const trainedPath = join(__dirname, "../reference", "trained_features.safetensors");
const trainedFile = parseSafetensors(readFileSync(trainedPath), trainedPath).tensors;

function trainedSet(name: string, kind: "features" | "logits"): FeatureSet {
  const double = (array: { data: ArrayLike<number>; shape: [number, number] }) => ({ ...array, data: Float64Array.from(array.data) });
  const features = double(trained(`train.${kind}`));
  const dim = features.shape[1];
  const labels = Int32Array.from(trained("train.labels").data);
  const identity = Float64Array.from({ length: 100 }, (_, i) => (i % 11 === 0 ? 1 : 0));
  const ofFeatures = kind === "features"; // the logits' own classifier is the identity
  return {
    name,
    numClasses: 10,
    dim,
    counts: Array.from({ length: 10 }, (_, c) => labels.filter((label) => label === c).length),
    labels,
    features,
    weight: ofFeatures ? double(trained("fc.weight")) : { data: identity, shape: [10, 10] },
    bias: { data: ofFeatures ? Float64Array.from(trained("fc.bias").data) : new Float64Array(10), shape: [10] },
    predictions: predictedClass(trained("train.logits")),
    queries: {
      data: Float64Array.of(...trained(`test.${kind}`).data.subarray(0, 4 * dim), ...trained(`clothes.${kind}`).data.subarray(0, 2 * dim)),
      shape: [6, dim],
    },
  };
}

const equally = (classes: number, count: number): number[] => new Array<number>(classes).fill(count);

export const featureSets: readonly FeatureSet[] = [
  featureSet("random", 8, equally(5, 40), { offset: 0.5 }),
  featureSet("collapsed-1e-6", 6, equally(4, 30), { within: 1e-3 }),
  featureSet("collapsed-1e-12", 6, equally(4, 30), { within: 1e-6 }),
  featureSet("collapsed far from zero", 6, equally(4, 30), { offset: 100, within: 1e-4 }),
  featureSet("fewer samples than dimensions", 12, [6, 8, 7, 9]),
  featureSet("class 2 missing", 5, [20, 30, 0, 25]),
  featureSet("class 1 with one sample", 5, [20, 1, 30]),
  featureSet("one sample per class", 5, [1, 1, 1]),
  featureSet("two classes", 6, [25, 40]),
  featureSet(
    "100 classes",
    16,
    Array.from({ length: 100 }, (_, c) => 3 + (c % 4)),
  ),
  featureSet("two dimensions", 2, equally(5, 30)),
  featureSet("2048 dimensions", 2048, [20, 25, 15]),
  featureSet("tiny scale", 8, equally(5, 40), { between: 1e-8, within: 0.25e-8 }),
  featureSet("large scale", 8, equally(5, 40), { between: 1e8, within: 0.25e8 }),
  trainedSet("features of a trained network", "features"),
  trainedSet("logits of a trained network", "logits"),
];

export function set(name: string): FeatureSet {
  const found = featureSets.find((candidate) => candidate.name === name);
  if (found === undefined) throw new Error(`no feature set ${name}`);
  return found;
}
