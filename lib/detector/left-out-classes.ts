// Leaves out one class after another: the score is fitted and calibrated without the class, and scores the calibration inputs of the class. A network
// that was trained on the class still has it in its features, so that the shares flatter.

import { setImmediate as turn } from "node:timers/promises";
import { isLibtorchOodError } from "../core/errors";
import { isModelOutput, modelOutputs } from "../core/model-outputs";
import { Scope } from "../core/scope";
import { fit as fitScore, requirements } from "../scores/fit";
import { definitionOf, type ScoreName, type ScoreOptions } from "../scores/registry";
import type { ModelOutputs, TrainingOutputs } from "../scores/score";
import type { Tensor } from "../native/tensor";
import { calibrate, pValue } from "./calibration";
import { withClasses } from "./choice";
import { pick, type Tensors } from "./outputs";
import { rowsAt, spread } from "./rows-at";

/** p-values of the inputs of a class under the detector without it. */
export interface LeftOutClass {
  readonly label: number;
  /** Number n of calibration inputs without the class; the smallest p-value is 1/(n + 1). */
  readonly calibrationCount: number;
  readonly pValues: readonly number[];
}

export interface LeftOutSource<N extends ScoreName> {
  name: N;
  scoreOptions: ScoreOptions[N];
  /** Training outputs, with the last layer if the score looks at it. */
  training: Tensors & { weight?: Tensor | undefined; bias?: Tensor | undefined };
  labels: ArrayLike<number>;
  calibration: Tensors;
  calibrationLabels: ArrayLike<number>;
  numClasses: number;
  falseAlarmRate: number;
  device: string;
  signal: AbortSignal | undefined;
}

const mostClasses = 10;
const mostCalibrationInputs = 1000;
const mostInputsOfClass = 100;
/** Multiplications in float64 for all classes together: some seconds on two cores. */
const budget = 1e11;
/** Elements of the training features, which are copied for each class. */
const mostElements = 1 << 25;

/** Leaves out at most ten classes, evenly spread; fewer, or none, if the fits cost too much. It passes over classes that cannot be left out. */
export async function leaveClassesOut<N extends ScoreName>(source: LeftOutSource<N>): Promise<LeftOutClass[]> {
  const { calibrationLabels, numClasses } = source;
  const needs = requirements(source.name, source.scoreOptions);
  if (needs.fit.length === 0 && !needs.score.includes("logits")) return []; // what it looks at is the same without a class
  const present = [...new Set(Array.from(calibrationLabels))].sort((a, b) => a - b);
  if (numClasses < 2 || present.length < 2) return [];
  const limit = Math.min(mostClasses, Math.floor(budget / Math.max(1, costOf(source))));
  const found: LeftOutClass[] = [];
  for (const i of spread(present.length, limit)) {
    const left = await leaveOut(source, present[i] as number);
    if (left !== undefined) found.push(left);
    await turn();
  }
  return found;
}

function costOf<N extends ScoreName>({ name, scoreOptions, training, calibration }: LeftOutSource<N>): number {
  const kind = requirements(name, scoreOptions).fit.find(isModelOutput);
  if (kind === undefined) return 0;
  const [rows, columns] = (training[kind] as Tensor).shape as [number, number];
  if (rows * columns > mostElements) return Infinity;
  const inputs = Math.min(mostCalibrationInputs, calibration[kind]?.shape[0] ?? 0);
  const { multiplications } = definitionOf(name);
  return multiplications?.({ rows, columns, inputs }) ?? rows * columns ** 2;
}

async function leaveOut<N extends ScoreName>(source: LeftOutSource<N>, label: number): Promise<LeftOutClass | undefined> {
  try {
    return await Scope.run((scope) => withoutClass(scope, source, label));
  } catch (error) {
    // Without the class there may be too few samples for a covariance, or a single class, of which a score may say nothing.
    if (!isLibtorchOodError(error) || error.code === "ERR_ABORTED") throw error;
    return undefined;
  }
}

async function withoutClass<N extends ScoreName>(scope: Scope, source: LeftOutSource<N>, label: number): Promise<LeftOutClass> {
  const { name, scoreOptions, training, labels, calibration, calibrationLabels, numClasses, falseAlarmRate, device, signal } = source;
  const numbersOf = (list: ArrayLike<number>, wanted: (label: number) => boolean) =>
    Uint32Array.from(Array.from(list).flatMap((value, i) => (wanted(value) ? [i] : [])));
  const others = Array.from({ length: numClasses }, (_, c) => c).filter((c) => c !== label);
  const rows = async (outputs: Tensors, kinds: readonly (keyof ModelOutputs)[], indices: Uint32Array): Promise<Tensors> => {
    const chosen: Tensors = {};
    for (const kind of kinds) {
      // a network without the class has no such logit
      chosen[kind] = scope.own(await rowsAt(outputs[kind] as Tensor, indices, kind === "logits" ? others : undefined));
    }
    return chosen;
  };
  const needs = requirements(name, scoreOptions);
  const without: TrainingOutputs = {};
  if (needs.fit.length > 0) {
    const kept = numbersOf(labels, (value) => value !== label);
    const kinds = modelOutputs.filter((kind) => needs.fit.includes(kind));
    Object.assign(without, await rows(training, kinds, kept));
    without.labels = Int32Array.from(kept, (i) => (labels[i] as number) - ((labels[i] as number) > label ? 1 : 0));
    const { weight, bias } = training;
    if (weight) without.weight = scope.own(await rowsAt(weight, Uint32Array.from(others)));
    if (bias) {
      const values = bias.toArray();
      without.bias = { data: Float64Array.from(others, (c) => Number(values[c])), shape: [others.length] };
    }
  }
  const held = numbersOf(calibrationLabels, (value) => value !== label);
  const inputs = numbersOf(calibrationLabels, (value) => value === label);
  const some = (all: Uint32Array, limit: number) => spread(all.length, limit).map((i) => all[i] as number);
  const heldOutputs = await rows(calibration, needs.score, some(held, mostCalibrationInputs));
  const leftOutputs = await rows(calibration, needs.score, some(inputs, mostInputsOfClass));
  const score = scope.own(await fitScore(name, without, withClasses(name, scoreOptions, numClasses - 1, device, signal)));
  const choices = { numClasses: numClasses - 1, falseAlarmRate, signal };
  const { sorted } = await calibrate(score, heldOutputs, choices);
  const scores = await score.score(pick(leftOutputs, needs.score), { signal });
  return { label, calibrationCount: sorted.length, pValues: Array.from(scores, (value) => pValue(sorted, value)) };
}
