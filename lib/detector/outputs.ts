// Takes the model outputs that a detector looks at, from the caller or an extraction, as Tensors with as many rows each.

import { fail, optionsObject } from "../core/checks";
import { Dataset } from "../data/dataset";
import { LibtorchOodError } from "../core/errors";
import type { Scope } from "../core/scope";
import { modelOutputs, type ModelOutput } from "../core/model-outputs";
import type { Images } from "../models/resnet/resnet";
import { outputCompanions } from "../scores/given";
import type { ModelOutputs } from "../scores/score";
import { heldIn, Tensor, toTensor } from "../native/tensor";

export type Tensors = Partial<Record<ModelOutput, Tensor>>;

/**
 * The outputs as Tensors, with as many rows each. The scope owns them; the caller's are views, since the caller may dispose of theirs before the work
 * is done. Other fields of an extraction are ignored.
 *
 * @throws ERR_OPTION if an output is missing; ERR_SHAPE for one that is not [N, columns] or has another number of rows
 */
export function takeOutputs(
  given: ModelOutputs,
  kinds: readonly (keyof ModelOutputs)[],
  where: string,
  scope: Scope,
): { outputs: Tensors; rows: number } {
  if (typeof given !== "object" || given === null) fail("ERR_OPTION", where, "an object of features", given);
  const known = [...modelOutputs, ...outputCompanions] as readonly (keyof ModelOutputs)[];
  if (where !== "training") optionsObject(given, where, known);
  const outputs: Tensors = {};
  let rows: number | undefined;
  for (const kind of kinds) {
    const value = given[kind];
    const name = where === "training" ? kind : `${where}.${kind}`;
    if (value === undefined) throw new LibtorchOodError("ERR_OPTION", `${name}: expected it for this detector, found none`);
    const tensor = heldIn(scope, toTensor(value, name), value);
    const [found, columns] = tensor.shape;
    // Rows without columns take no memory, so that there may be 2^52 of them.
    if (tensor.shape.length !== 2 || (columns === 0 && found !== 0)) {
      throw new LibtorchOodError("ERR_SHAPE", `${name}: expected [N, columns], found [${tensor.shape.join(", ")}]`);
    }
    rows ??= found;
    if (found !== rows) throw new LibtorchOodError("ERR_SHAPE", `${name}: expected ${rows} rows as in ${kinds[0]}, found ${found}`);
    outputs[kind] = tensor;
  }
  return { outputs, rows: rows ?? 0 };
}

/** Requires one column of logits per class, since a label names a class. @throws ERR_SHAPE for another number of columns */
export function requireLogits({ logits }: Tensors, numClasses: number, where: string): void {
  if (logits === undefined || logits.shape[1] === numClasses) return;
  const expected = `${numClasses} columns, as there are classes`;
  throw new LibtorchOodError("ERR_SHAPE", `${where}.logits: expected ${expected}, found ${logits.shape[1]}`);
}

export function isModelOutputs(input: Images | ModelOutputs): input is ModelOutputs {
  if (typeof input !== "object" || input === null || Tensor.is(input) || input instanceof Dataset || Array.isArray(input)) return false;
  return !ArrayBuffer.isView(input) && !("data" in input) && modelOutputs.some((kind) => kind in input);
}

/** The named outputs alone: an extraction holds more than its tensors. */
export function pick(outputs: Tensors, kinds: readonly ModelOutput[]): Tensors {
  return Object.fromEntries(kinds.map((kind) => [kind, outputs[kind]]));
}

export function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}

export function tensorsOf(outputs: ModelOutputs): Tensor[] {
  return modelOutputs.map((kind) => outputs[kind]).filter((value): value is Tensor => Tensor.is(value));
}
