// What a detector's file says of a model whose weights it does not hold, and how that model comes back.

import { fail } from "../core/checks";
import { checkClassNames } from "../core/class-names";
import { LibtorchOodError } from "../core/errors";
import { anything, check, object, oneOf, optionalOrNull, text, whole } from "../core/schema";
import { checkPreprocessing, type Preprocessing, type PreprocessingOptions } from "../data/preprocessing";
import { corrupt } from "../formats/state-file";
import { OnnxModel } from "./onnx/onnx-model";
import { TorchScriptModel, type StoredTorchScript } from "./torchscript";
import { extractorKinds, internals, isExtractor, type ExtractorDescription, type ExtractorKind, type OwnExtractor } from "./extractor";

/** The kinds whose weights lie outside a detector's file. */
type ForeignKind = Exclude<ExtractorKind, "resnet">;

const foreignKinds = extractorKinds.filter((kind): kind is ForeignKind => kind !== "resnet");

/** The {@link ExtractorDescription} of such a model. */
export interface StoredModel extends ExtractorDescription {
  readonly kind: ForeignKind;
  readonly input: Preprocessing;
}

const most = 1 << 24;
const stored = object({
  kind: oneOf(foreignKinds),
  featureDim: whole(1, most),
  numClasses: optionalOrNull(whole(1, most)),
  input: anything,
  classNames: anything,
  path: optionalOrNull(text),
  sha256: optionalOrNull(text),
  features: optionalOrNull(text),
  logits: optionalOrNull(text),
  name: optionalOrNull(text),
});

/** The description in the JSON of a file. @throws ERR_CORRUPT_FILE naming the field, as a part of "model" */
export function parseStoredModel(path: string, model: unknown): StoredModel {
  const refuse = (place: string, expected: string, found: unknown): never => corrupt(path, place, expected, found);
  const { kind, featureDim, numClasses, input, classNames, ...rest } = check(stored, model, refuse, "model");
  const texts = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
  if (kind !== "custom" && !/^[0-9a-f]{64}$/.test(texts.sha256 ?? "")) {
    refuse("model.sha256", "the SHA-256 of the model's file", texts.sha256);
  }
  try {
    return {
      ...{ kind, featureDim, numClasses },
      input: checkPreprocessing(input as PreprocessingOptions, "model.input"),
      classNames: classNames === undefined || classNames === null ? undefined : checkClassNames(classNames, numClasses),
      ...texts,
    };
  } catch (error) {
    throw new LibtorchOodError("ERR_CORRUPT_FILE", `${path}: ${(error as Error).message}`, { cause: error });
  }
}

/**
 * The model of a detector's file, from the model or the path that the caller gave. A detector's file alone never makes the library run a foreign model:
 * such a file is a program.
 *
 * @param path - the detector's file, for messages
 * @throws ERR_OPTION where nothing was given, or something else than the model; ERR_CORRUPT_FILE where the file at the path has another SHA-256; what
 *   loading the model throws
 */
export async function openStoredModel(path: string, model: StoredModel, given: unknown, device: string): Promise<OwnExtractor> {
  const called = wordsOf(model);
  if (given === undefined) {
    const file = `{ model: ${JSON.stringify(model.path ?? "model.onnx")} }, or --model on the command line`; // no path: it was loaded from bytes
    const hint = model.kind === "custom" ? "{ model } of defineExtractor" : file;
    throw new LibtorchOodError(
      "ERR_OPTION",
      `${path}: expected the option "model", since the file holds no weights of ${called}: pass ${hint}`,
    );
  }
  if (typeof given === "string" && model.kind !== "custom") return loaded(path, { ...model, path: given }, device);
  if (!isExtractor(given)) {
    fail("ERR_OPTION", "model", model.kind === "custom" ? "what defineExtractor gave" : "the model, or the path of its file", given);
  }
  const found = given.describe();
  const keys = ["kind", "name", "sha256", "features", "logits", "featureDim", "numClasses", "input"] as const;
  const other = keys.find((key) => canonical(found[key]) !== canonical(model[key]));
  if (other !== undefined) {
    const message = `${path}: expected ${called} with ${other} ${canonical(model[other])}, found ${canonical(found[other])}`;
    throw new LibtorchOodError("ERR_OPTION", message);
  }
  return given[internals].copy();
}

function loaded(path: string, model: StoredModel, device: string): Promise<OwnExtractor> {
  if (model.kind === "onnx") return OnnxModel.restore(path, model, device);
  return TorchScriptModel.restore(path, model as StoredModel & StoredTorchScript, device);
}

/** What a message calls the model. */
function wordsOf({ kind, path, name, sha256 }: StoredModel): string {
  if (kind === "custom") return `the extractor ${JSON.stringify(name)}`;
  const which = path === undefined ? `of SHA-256 ${sha256}` : JSON.stringify(path);
  return `the ${kind === "onnx" ? "ONNX" : "TorchScript"} model ${which}`;
}

/** JSON with keys in order, so that equal values are equal text. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) =>
    typeof item === "object" && item !== null && !Array.isArray(item) ? Object.fromEntries(Object.entries(item).sort()) : item,
  );
}
