// Turns a caller's model outputs into Tensors that live as long as a call; refuses missing ones, other dtypes and other shapes.

import { fail, optionalSignal, optionsObject } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { modelOutputs, type ModelOutput } from "../core/model-outputs";
import { Scope } from "../core/scope";
import { heldIn, Tensor, toTensor } from "../native/tensor";
import type { Given, GivenTraining } from "./define";
import type { ModelOutputs, ScoreCallOptions, TrainingOutputs } from "./score";

/** Keys that are allowed beside model outputs and then ignored: those of `model.extract`, `extractStream` and what a score is fitted to. */
export const outputCompanions = ["labels", "weight", "bias", "offset", "skipped", "precision"] as const;
const known = [...modelOutputs, ...outputCompanions] as readonly string[] as readonly (keyof TrainingOutputs)[];

type Matrix = ModelOutput | "weight";

/** The score that asks for outputs, for messages, and the outputs it needs. */
interface Asked<Key> {
  readonly score: string;
  readonly needs: readonly Key[];
}

/**
 * Calls `use` with the model outputs that a score needs.
 *
 * @throws ERR_OPTION if one is missing; ERR_SHAPE for one that is not a matrix or is empty; ERR_DTYPE for one that is not float32 or float64
 */
export async function withOutputs<T>(
  { score, needs }: Asked<ModelOutput>,
  outputs: ModelOutputs,
  options: ScoreCallOptions,
  use: (given: Given, signal: AbortSignal | undefined) => Promise<T>,
): Promise<T> {
  const signal = optionalSignal(optionsObject(options, "options", ["signal"]).signal, "signal");
  if (outputs === undefined) fail("ERR_OPTION", "outputs", "an object", outputs);
  optionsObject<TrainingOutputs>(outputs, "outputs", known);
  return withMatrices({ score, needs }, "outputs", outputs, (given) => use(given, signal));
}

/** Calls `use` with the training outputs that a score is fitted to. Throws as {@link withOutputs}. */
export async function withTraining<T>(
  { score, needs }: Asked<keyof TrainingOutputs>,
  training: TrainingOutputs,
  use: (given: GivenTraining) => Promise<T>,
): Promise<T> {
  optionsObject(training, "training", known);
  const matrices = { score, needs: needs.filter((key) => key !== "labels" && key !== "bias") };
  const { labels } = training;
  if (needs.includes("labels") && labels === undefined) missing(score, "training", "labels");
  if (!needs.includes("labels") || !Tensor.is(labels)) return withMatrices(matrices, "training", training, use);
  return Scope.run((scope) => withMatrices(matrices, "training", { ...training, labels: heldIn(scope, labels, labels) }, use));
}

async function withMatrices<T>(
  { score, needs }: Asked<Matrix>,
  name: string,
  outputs: TrainingOutputs,
  use: (given: GivenTraining) => Promise<T>,
): Promise<T> {
  // Native calls keep what they read until they end; the caller may dispose of theirs while the call goes on.
  return Scope.run((scope) => {
    const tensor = (key: Matrix | "bias", dimensions: number): Tensor => {
      const value = outputs[key];
      if (value === undefined) missing(score, name, key);
      const made = heldIn(scope, toTensor(value, key), value);
      const { shape, dtype } = made;
      if (dtype !== "float32" && dtype !== "float64") fail("ERR_DTYPE", key, "float32 or float64", dtype);
      if (shape.length !== dimensions || shape.includes(0)) {
        const expected = dimensions === 2 ? "[rows, columns] of at least 1 each" : "[C]";
        throw new LibtorchOodError("ERR_SHAPE", `${key}: expected ${expected}, found [${shape.join(", ")}]`);
      }
      return made;
    };
    const given = Object.fromEntries(needs.map((key) => [key, tensor(key, 2)]));
    const bias = needs.includes("weight") && outputs.bias !== undefined ? tensor("bias", 1) : undefined;
    return use({ ...given, labels: outputs.labels, bias } as GivenTraining);
  });
}

function missing(score: string, name: string, key: string): never {
  throw new LibtorchOodError("ERR_OPTION", `${name}.${key}: expected it for the score "${score}", found none`);
}
