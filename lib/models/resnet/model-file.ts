// The file of a network: a .safetensors file whose tensors have DDU's PyTorch names and whose metadata holds, as JSON,
// what the network is. A checkpoint is such a file too, with the momentum of SGD and the training record added.

import { nativeDtypes } from "../../core/dtype";
import { checkClassNames } from "../../core/class-names";
import { anyObject, anything, check, like, object, optionalOrNull } from "../../core/schema";
import { corrupt } from "../../formats/state-file";
import { checkNormalization, type Normalization } from "../../data/normalization";
import { LibtorchOodError } from "../../core/errors";
import { corruptFile } from "../../core/file-errors";
import { formatName } from "../../formats/format-names";
import { parseJson } from "../../formats/json";
import { openSafetensors, type SafetensorsFile } from "../../formats/safetensors";
import { readNativeTensor, writeNativeTensors } from "../../formats/tensor-file";
import { storedPresetRecord, type PresetRecord } from "../../protocols/preset";
import { SeenInputs } from "../../data/seen-inputs";
import { Tensor } from "../../native/tensor";
import { architectureKeys, resolveArchitecture, type Architecture, type ArchitectureOptions } from "./architecture";
import { elementsOf, tensorsOf } from "./tensor-shapes";
import { parseTrainingRecord, type TrainingRecord } from "./training-record";

const format = "libtorch-ood/resnet";
const formatVersion = "1";
const momentumPrefix = "optimizer.momentum.";

export interface ModelDescription {
  architecture: Architecture;
  normalization: Normalization | undefined;
  classNames: readonly string[] | undefined;
  preset: PresetRecord | undefined;
  /** The images of every `fit`, validation ones not. */
  trainedOn: SeenInputs;
  training: TrainingRecord | undefined;
}

export interface NamedTensor {
  name: string;
  tensor: Tensor;
}

/** Writes a model, or with `momentum` a checkpoint, atomically. @throws ERR_IO */
export async function writeModelFile(
  path: string,
  description: ModelDescription,
  state: readonly NamedTensor[],
  momentum: readonly NamedTensor[] = [],
): Promise<void> {
  const tensors = [...state, ...momentum.map(({ name, tensor }) => ({ name: momentumPrefix + name, tensor }))];
  const metadata = new Map([
    ["format", format],
    ["version", formatVersion],
    ["model", JSON.stringify(description)],
  ]);
  const handles = tensors.map(({ name, tensor }) => ({ name, tensor: Tensor.handle(tensor, name) }));
  await writeNativeTensors(path, handles, metadata);
}

/** Description of the network in a file, which {@link ResNet.describe} reads. */
export interface ModelFileSummary {
  /** Architecture of the network. */
  readonly architecture: Architecture;
  /** Constants that the input images are normalised with; undefined where the network has none yet. */
  readonly normalization: Normalization | undefined;
  /** Name of each class, in label order; undefined where they are unknown. */
  readonly classNames: readonly string[] | undefined;
  /** The preset that the architecture came from; undefined without one. */
  readonly preset: PresetRecord | undefined;
  /** Dtype of the weights. */
  readonly dtype: "float32" | "float64";
  /** Number of epochs that the training of a checkpoint has done; undefined for a file that is no checkpoint. */
  readonly epochsDone: number | undefined;
}

/**
 * Reads the description of the network in a file. No weight is read.
 *
 * @throws ERR_CORRUPT_FILE for anything but a model file of a version that this library reads; ERR_IO for a file that cannot be read
 */
export async function describeModelFile(path: string): Promise<ModelFileSummary> {
  const file = await openModelFile(path);
  await file.close();
  const { architecture, normalization, classNames, preset, training } = file.description;
  return { architecture, normalization, classNames, preset, dtype: file.dtype, epochsDone: training?.epochsDone };
}

/** A model file that is open: its description has been checked, its tensors have not been read yet. */
export interface OpenModelFile {
  description: ModelDescription;
  /** Dtype of the weights. */
  dtype: "float32" | "float64";
  shapeOf: (name: string) => readonly number[] | undefined;
  state(): Promise<NamedTensor[]>;
  momentum(): Promise<NamedTensor[]>;
  close(): Promise<void>;
}

/**
 * Opens a model file and checks its description.
 *
 * @throws ERR_CORRUPT_FILE for anything but a model file of a version that this library reads; ERR_IO for a file that cannot be read
 */
export async function openModelFile(path: string): Promise<OpenModelFile> {
  const file = await openSafetensors(path);
  try {
    const description = parseDescription(file);
    const read = async (wanted: (name: string) => string | undefined) => {
      const tensors: NamedTensor[] = [];
      for (const stored of file.tensors.keys()) {
        const name = wanted(stored);
        if (name === undefined) continue;
        const refuse = (expected: string, found: string) => corrupt(path, stored, `one of ${expected}`, found);
        tensors.push({ name, tensor: new Tensor(await readNativeTensor(file, stored, nativeDtypes, refuse)) });
      }
      return tensors;
    };
    return {
      description,
      dtype: file.tensors.get("fc.weight")?.dtype === "F64" ? "float64" : "float32",
      shapeOf: (name) => file.tensors.get(name)?.shape,
      state: () => read((name) => (name.startsWith(momentumPrefix) ? undefined : name)),
      momentum: () => read((name) => (name.startsWith(momentumPrefix) ? name.slice(momentumPrefix.length) : undefined)),
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

function parseDescription(file: SafetensorsFile): ModelDescription {
  const { path, metadata } = file;
  const found = metadata.get("format");
  if (found !== format) throw corruptFile(path, formatName(format), formatName(found));
  if (metadata.get("version") !== formatVersion) {
    corrupt(path, "metadata version", `${formatVersion} (is the file of a newer libtorch-ood?)`, metadata.get("version"));
  }
  let model: unknown;
  try {
    model = parseJson(metadata.get("model") ?? "");
  } catch (error) {
    corrupt(path, "metadata model", `JSON (${(error as Error).message.slice(0, 100)})`, metadata.get("model"));
  }
  return parseModelDescription(path, model);
}

const storedDescription = object({
  architecture: anyObject,
  normalization: optionalOrNull(object({ mean: anything, std: anything })),
  classNames: anything,
  preset: anything,
  trainedOn: like("ascending hashes in base64", (value) => SeenInputs.parse(value)),
  training: anything,
});

/** The description of a network in the JSON of a file. @param place - where it stands in the file, for messages @throws ERR_CORRUPT_FILE */
export function parseModelDescription(path: string, model: unknown, place = "model"): ModelDescription {
  const stored = check(storedDescription, model, (at, expected, found) => corrupt(path, at, expected, found), place);
  const given = stored.architecture;
  const missing = architectureKeys.filter((key) => given[key] === undefined || given[key] === null);
  if (missing.length > 0) corrupt(path, place, `an architecture with ${missing.join(", ")}`, Object.keys(given).join(", "));
  let architecture: Architecture;
  try {
    architecture = resolveArchitecture(given as unknown as ArchitectureOptions);
  } catch (error) {
    corrupt(path, place, "a valid architecture", (error as Error).message);
  }
  const { normalization, classNames } = stored;
  return {
    architecture,
    normalization: normalization && refusing(path, () => checkNormalization(normalization as Normalization, architecture.inChannels)),
    classNames:
      classNames === undefined || classNames === null
        ? undefined
        : refusing(path, () => checkClassNames(classNames, architecture.numClasses)),
    preset: storedPresetRecord(stored.preset),
    trainedOn: stored.trainedOn,
    training: parseTrainingRecord(path, stored.training),
  };
}

/**
 * Requires a file to hold every tensor of the architecture in its size, before a network is made: a small file cannot make the library allocate a
 * large network.
 *
 * @throws ERR_CORRUPT_FILE naming the first tensor that is missing or of another size
 */
export function requireSizes(path: string, architecture: Architecture, shapeOf: (name: string) => readonly number[] | undefined): void {
  for (const { name, shape } of tensorsOf(architecture)) {
    const found = shapeOf(name);
    const elements = elementsOf(shape);
    if (found !== undefined && elementsOf(found) === elements) continue;
    corrupt(path, name, `${elements} elements, by its architecture`, found && `[${found.join(", ")}]`);
  }
}

/**
 * Holds the network of a file to the caller's limit. The cost of an image grows with the square of its side, and a small file can state any side.
 *
 * @throws ERR_RANGE for a network of larger images
 */
export function requireImageSize(path: string, { imageSize }: Architecture, maxImageSize: number): void {
  if (imageSize <= maxImageSize) return;
  const expected = `a network for images of at most ${maxImageSize}×${maxImageSize} pixels (maxImageSize)`;
  throw new LibtorchOodError("ERR_RANGE", `${path}: expected ${expected}, found ${imageSize}×${imageSize}`);
}

/** Runs a check of callers' values on a file's values: what it throws becomes ERR_CORRUPT_FILE. */
function refusing<T>(path: string, check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw new LibtorchOodError("ERR_CORRUPT_FILE", `${path}: ${(error as Error).message}`, { cause: error });
  }
}
