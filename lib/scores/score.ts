// What every out-of-distribution score is: something fitted to a model's outputs that gives each input a number, higher for more
// in-distribution. Detectors, protocols and users go by this interface alone.

import { fail, oneOf, optionalSignal, optionsObject } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import type { Labels } from "../core/labels";
import { modelOutputs } from "../core/model-outputs";
import type { NativeNamedTensor } from "../native/surface";
import { Tensor, toTensor, type ArrayWithShape } from "../native/tensor";

export type ScoreName =
  | "gaussian-mixture"
  | "max-softmax"
  | "max-logit"
  | "entropy"
  | "energy"
  | "mahalanobis"
  | "relative-mahalanobis"
  | "nearest-neighbours"
  | "vim"
  | "feature-norm";

/**
 * What a score may look at, one row per input, float32 or float64; those that its `needs` names must be there, others may be. What
 * `model.extract` gives goes in as it is: its labels are not looked at.
 */
export interface ModelOutputs {
  /** [N, d]: what the last layer sees; L2-normalised where the network normalises. */
  features?: Tensor | ArrayWithShape;
  /** [N, d]: as they come from pooling, before any normalisation. */
  rawFeatures?: Tensor | ArrayWithShape;
  /** [N, C] */
  logits?: Tensor | ArrayWithShape;
}

/** What a score may be fitted to: outputs of the (un-augmented) training inputs, their labels, and the last layer. */
export interface TrainingOutputs extends ModelOutputs {
  /** [N] */
  labels?: Labels;
  /** [C, d]: of the last layer. */
  weight?: Tensor | ArrayWithShape;
  /** [C]: of the last layer; none counts as zeros. */
  bias?: Tensor | ArrayWithShape;
}

export interface ScoreCallOptions {
  signal?: AbortSignal;
}

/** A fitted score. All are float64, and never an answer to NaN or infinite input. */
export interface Score {
  readonly name: ScoreName;
  /** Which model outputs {@link Score.score} looks at. */
  readonly needs: readonly (keyof ModelOutputs)[];
  /** What a user should know about the fit. */
  readonly warnings: readonly string[];
  /**
   * One number per row; higher means more in-distribution.
   *
   * @returns Float64Array [N]
   * @throws ERR_OPTION where outputs that it needs are missing; ERR_NON_FINITE naming the row; ERR_RANGE where a score is beyond float64, as of an
   *   input farther off than 1e154; ERR_SHAPE, ERR_DTYPE, ERR_DISPOSED, ERR_ABORTED
   */
  score(outputs: ModelOutputs, options?: ScoreCallOptions): Promise<Float64Array>;
  /** Gives the memory back now. Idempotent; later use throws ERR_DISPOSED. */
  dispose(): void;
  [Symbol.dispose](): void;
  /** @internal Everything that a file has to hold; `restoreScore` makes a score of it that gives the same numbers, but for rounding in the last bits where the score is a mixture's. */
  state(): Promise<ScoreState>;
}

/** @internal `description` survives JSON; the tensors are float32, float64 or int64. */
export interface ScoreState {
  description: Record<string, unknown>;
  tensors: readonly NativeNamedTensor[];
}

export interface SourceOptions {
  /** What the score is fitted on and looks at. Default `"features"`. */
  from?: keyof ModelOutputs;
}

/**
 * @internal What may lie beside model outputs and is then not looked at: the rest of what `model.extract` and `extractStream` give, and of what a score is
 * fitted to.
 */
export const outputCompanions = ["labels", "weight", "bias", "offset", "skipped", "precision"] as const;
/** @internal */
export const trainingKeys = [...modelOutputs, ...outputCompanions] as const;

/** @internal The source, and the options that remain. @throws ERR_OPTION */
export function resolveSource<T extends SourceOptions>(options: T): { from: keyof ModelOutputs; rest: Omit<T, "from"> } {
  if (typeof options !== "object" || options === null) fail("ERR_OPTION", "options", "an options object", options);
  const { from = "features", ...rest } = Object.assign(Object.create(null) as object, options); // own properties only
  return { from: oneOf(from, "from", modelOutputs), rest };
}

type Matrix = keyof ModelOutputs | "weight";
/** Model outputs with their matrices as Tensors. */
type Resolved = Record<Matrix, Tensor> & { labels: Labels; bias: Tensor | undefined };

/** @internal Calls `use` with the model outputs that the score needs, checked for shape and dtype. @throws ERR_OPTION, ERR_SHAPE, ERR_DTYPE */
export async function readOutputs<T>(
  score: Score,
  outputs: ModelOutputs,
  options: ScoreCallOptions,
  use: (given: Resolved, signal: AbortSignal | undefined) => Promise<T>,
): Promise<T> {
  const signal = optionalSignal(optionsObject(options, "options", ["signal"]).signal, "signal");
  if (outputs === undefined) fail("ERR_OPTION", "outputs", "an object", outputs);
  optionsObject(outputs, "outputs", trainingKeys as readonly (keyof ModelOutputs)[]);
  return withMatrices(score.name, "outputs", outputs, score.needs, (given) => use(given, signal));
}

/** @internal The same for what a score is fitted to. */
export async function fitOutputs<T>(
  score: ScoreName,
  training: TrainingOutputs,
  needs: readonly (Matrix | "labels")[],
  use: (given: Resolved) => Promise<T>,
): Promise<T> {
  const matrices = needs.filter((key) => key !== "labels");
  const { labels } = training;
  if (needs.includes("labels") && labels === undefined) missing(score, "training", "labels");
  if (!needs.includes("labels") || !Tensor.is(labels)) return withMatrices(score, "training", training, matrices, use);
  const held = labels.hold();
  try {
    return await withMatrices(score, "training", { ...training, labels: held }, matrices, use);
  } finally {
    if (held !== labels) held.dispose();
  }
}

async function withMatrices<T>(
  score: ScoreName,
  name: string,
  outputs: TrainingOutputs,
  keys: readonly Matrix[],
  use: (given: Resolved) => Promise<T>,
): Promise<T> {
  const copies: Tensor[] = [];
  const tensor = (key: Matrix | "bias", dimensions: number): Tensor => {
    const value = outputs[key];
    if (value === undefined) missing(score, name, key);
    const given = toTensor(value, key);
    const made = given === value ? given.hold() : given; // the caller may dispose of theirs while the call goes on
    if (made !== value) copies.push(made);
    const { shape, dtype } = made;
    if (dtype !== "float32" && dtype !== "float64") fail("ERR_DTYPE", key, "float32 or float64", dtype);
    if (shape.length !== dimensions || shape.includes(0)) {
      const expected = dimensions === 2 ? "[rows, columns] of at least 1 each" : "[C]";
      throw new LibtorchOodError("ERR_SHAPE", `${key}: expected ${expected}, found [${shape.join(", ")}]`);
    }
    return made;
  };
  try {
    const given = Object.fromEntries(keys.map((key) => [key, tensor(key, 2)]));
    const bias = keys.includes("weight") && outputs.bias !== undefined ? tensor("bias", 1) : undefined;
    return await use({ ...given, labels: outputs.labels, bias } as Resolved);
  } finally {
    for (const copy of copies) copy.dispose(); // native calls keep what they read until they end
  }
}

function missing(score: ScoreName, name: string, key: string): never {
  throw new LibtorchOodError("ERR_OPTION", `${name}.${key}: expected it for the score "${score}", found none`);
}

/** @internal Of a score that owns nothing native: whether it has been disposed. */
export class Liveness {
  #ended = false;

  end(): void {
    this.#ended = true;
  }

  /** @throws ERR_DISPOSED */
  require(name: ScoreName): void {
    if (this.#ended) throw new LibtorchOodError("ERR_DISPOSED", `${name}: it has been disposed`);
  }
}
