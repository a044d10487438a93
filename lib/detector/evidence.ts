// The evidence a detector looks at: extracted from images or taken from the caller, as Tensors that agree in rows and columns.

import { fail, optionsObject } from "../core/checks";
import { Dataset } from "../data/dataset";
import { LibtorchOodError } from "../core/errors";
import { modelOutputs } from "../core/model-outputs";
import type { ImageFailure } from "../images/failure";
import type { ResNet, Images } from "../models/resnet/resnet";
import { outputCompanions } from "../scores/given";
import type { ModelOutputs } from "../scores/score";
import { Tensor, toTensor } from "../native/tensor";

export type Tensors = Partial<Record<keyof ModelOutputs, Tensor>>;

/** The passes over the images that give these kinds of evidence. */
export function extractions(kinds: readonly (keyof ModelOutputs)[]): ("normalized" | "raw")[] {
  const raw = kinds.includes("rawFeatures");
  const normalized = kinds.includes("features") || (kinds.includes("logits") && !raw);
  return [...(normalized ? ["normalized" as const] : []), ...(raw ? ["raw" as const] : [])];
}

export async function extractEvidence(
  network: ResNet,
  images: Images,
  kinds: readonly (keyof ModelOutputs)[],
  options: NonNullable<Parameters<ResNet["extract"]>[1]>,
  onPass?: (images: number) => void,
): Promise<Tensors> {
  const evidence: Tensors = {};
  const left = new Set<number>();
  let first = true;
  const { onError } = options;
  const told = (failure: ImageFailure): void | Promise<void> => {
    if (!first && !left.has(failure.index)) throw failure.error; // it has been read in the first pass
    if (!first) return undefined;
    left.add(failure.index);
    return typeof onError === "function" ? onError(failure) : undefined;
  };
  const passOptions = onError === undefined || onError === "throw" ? options : { ...options, onError: told };
  for (const features of extractions(kinds)) {
    const extraction = await network.extract(images, { ...passOptions, features });
    first = false;
    if (extraction.skipped.length !== left.size) {
      disposeAll([extraction.features, extraction.logits, ...tensorsOf(evidence)]);
      throw new LibtorchOodError("ERR_IO", "images: expected files that stay as they are during the call, found one that became readable");
    }
    onPass?.(extraction.features.shape[0] as number);
    evidence[features === "raw" ? "rawFeatures" : "features"] = extraction.features;
    if (evidence.logits === undefined && kinds.includes("logits")) evidence.logits = extraction.logits;
    else extraction.logits.dispose();
  }
  return evidence;
}

/**
 * The evidence as Tensors, all of as many rows. They are `owned` here, those of the caller as views: the caller may dispose of theirs before the work
 * is done. What else an extraction holds is not looked at.
 */
export function takeEvidence(
  given: ModelOutputs,
  kinds: readonly (keyof ModelOutputs)[],
  where: string,
  owned: Tensor[],
): { evidence: Tensors; rows: number } {
  if (typeof given !== "object" || given === null) fail("ERR_OPTION", where, "an object of features", given);
  const known = [...modelOutputs, ...outputCompanions] as readonly (keyof ModelOutputs)[];
  if (where !== "training") optionsObject(given, where, known);
  const evidence: Tensors = {};
  let rows: number | undefined;
  for (const kind of kinds) {
    const value = given[kind];
    const name = where === "training" ? kind : `${where}.${kind}`;
    if (value === undefined) throw new LibtorchOodError("ERR_OPTION", `${name}: expected it for this detector, found none`);
    const tensor = held(toTensor(value, name), value, owned);
    const [found, columns] = tensor.shape;
    // Rows without columns take no memory, so that there may be 2^52 of them.
    if (tensor.shape.length !== 2 || (columns === 0 && found !== 0)) {
      throw new LibtorchOodError("ERR_SHAPE", `${name}: expected [N, columns], found [${tensor.shape.join(", ")}]`);
    }
    rows ??= found;
    if (found !== rows) throw new LibtorchOodError("ERR_SHAPE", `${name}: expected ${rows} rows as in ${kinds[0]}, found ${found}`);
    evidence[kind] = tensor;
  }
  return { evidence, rows: rows ?? 0 };
}

/** A tensor to use over more than one call: that of the caller as a view of its own, so that both may be disposed of. */
export function held(tensor: Tensor, given: unknown, owned: Tensor[]): Tensor {
  const own = tensor === given && tensor.shape.length > 0 ? tensor.slice(0) : tensor;
  if (own !== given) owned.push(own);
  return own;
}

/** Logits have a column per class, or the label would name none. */
export function requireLogits({ logits }: Tensors, numClasses: number, where: string): void {
  if (logits === undefined || logits.shape[1] === numClasses) return;
  const expected = `${numClasses} columns, as there are classes`;
  throw new LibtorchOodError("ERR_SHAPE", `${where}.logits: expected ${expected}, found ${logits.shape[1]}`);
}

export function isEvidence(input: Images | ModelOutputs): input is ModelOutputs {
  if (typeof input !== "object" || input === null || Tensor.is(input) || input instanceof Dataset || Array.isArray(input)) return false;
  return !ArrayBuffer.isView(input) && !("data" in input) && modelOutputs.some((kind) => kind in input);
}

/** Whether its features are those of `model.extract` as pooled. */
export function isRaw({ features, rawFeatures }: ModelOutputs): boolean {
  return features !== undefined && features === rawFeatures;
}

export function pick(evidence: Tensors, kinds: readonly (keyof ModelOutputs)[]): ModelOutputs {
  return Object.fromEntries(kinds.map((kind) => [kind, evidence[kind]]));
}

export function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}

export function tensorsOf(evidence: ModelOutputs): Tensor[] {
  return modelOutputs.map((kind) => evidence[kind]).filter((value): value is Tensor => Tensor.is(value));
}

export function disposeAll(values: readonly { dispose(): void }[]): void {
  for (const value of values) value.dispose();
}
