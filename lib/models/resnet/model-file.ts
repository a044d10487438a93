// The file of a network: a .safetensors file whose tensors have the names of DDU's code, or torchvision's, and whose
// metadata holds, as JSON, what the network is. A checkpoint is such a file too, with the momentum of SGD and the training
// record added. Files of other programs hold weights alone.

import { open } from "node:fs/promises";
import { checkClassNames } from "../../core/class-names";
import { anyObject, anything, check, like, object, optionalOrNull } from "../../core/schema";
import { corrupt } from "../../formats/state-file";
import { checkNormalization, type Normalization } from "../../data/normalization";
import { LibtorchOodError } from "../../core/errors";
import { corruptFile } from "../../core/file-errors";
import { formatName } from "../../formats/format-names";
import { parseJson } from "../../formats/json";
import { openSafetensors, type SafetensorsFile } from "../../formats/safetensors";
import { contentBytes, contentKind } from "../../formats/content-kind";
import { readStoredTensor, writeNativeTensors } from "../../formats/tensor-file";
import { checkGeometry, geometryOf, type ImageGeometry } from "../../images/geometry";
import { preprocessings, type Preprocessing } from "../../data/preprocessing";
import type { StoredDtype } from "../../native/surface";
import { storedPresetRecord, type PresetRecord } from "../../protocols/preset";
import { SeenInputs } from "../../data/seen-inputs";
import { Tensor } from "../../native/tensor";
import { architectureKeys, resolveArchitecture, type Architecture, type ArchitectureOptions } from "./architecture";
import { requireFitting, usualGeometry } from "./input";
import { elementsOf, tensorsOf } from "./tensor-shapes";
import { isCounter, ownName, recogniseWeights, requireTensors, torchvisionName, type WeightNames } from "./torch-weights";
import { parseTrainingRecord, type TrainingRecord } from "./training-record";

const format = "libtorch-ood/resnet";
const formatVersion = "1";
const momentumPrefix = "optimizer.momentum.";
/** The format that safetensors' own PyTorch functions write; Python libraries look for it. */
const torchFormat = "pt";

export interface ModelDescription {
  architecture: Architecture;
  /** What becomes of a picture before it is normalised. */
  geometry: ImageGeometry;
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

/** The form of a file: the names of its tensors, and the dtype of the floating ones where that is not their own. */
export interface ModelFileForm {
  readonly names: WeightNames;
  readonly dtype: StoredDtype | undefined;
}

const ownForm: ModelFileForm = { names: "ours", dtype: undefined };

/**
 * Writes a model, or with `momentum` a checkpoint, atomically.
 *
 * @throws ERR_IO; ERR_RANGE naming a tensor with a number that the form's dtype does not have
 */
export async function writeModelFile(
  path: string,
  description: ModelDescription,
  state: readonly NamedTensor[],
  momentum: readonly NamedTensor[] = [],
  { names, dtype }: ModelFileForm = ownForm,
): Promise<void> {
  const theirs = names === "torchvision" ? torchvisionName : (name: string) => name;
  const tensors = [
    ...state.map(({ name, tensor }) => ({ name: theirs(name), tensor })),
    ...momentum.map(({ name, tensor }) => ({ name: momentumPrefix + name, tensor })),
  ];
  const metadata = new Map([
    ["format", names === "torchvision" ? torchFormat : format],
    ["version", formatVersion],
    ["model", JSON.stringify(description)],
  ]);
  const handles = tensors.map(({ name, tensor }) => ({ name, tensor: Tensor.handle(tensor, name) }));
  await writeNativeTensors(path, handles, metadata, dtype);
}

/** Description of the network in a file, which {@link ResNet.describe} reads. */
export interface ModelFileSummary {
  /** Architecture of the network. */
  readonly architecture: Architecture;
  /** Constants that the input images are normalised with; undefined where the network has none yet. */
  readonly normalization: Normalization | undefined;
  /** What becomes of a picture before the network sees it; undefined while the normalisation is. */
  readonly input: Preprocessing | undefined;
  /** Name of each class, in label order; undefined where they are unknown. */
  readonly classNames: readonly string[] | undefined;
  /** The preset that the architecture came from; undefined without one. */
  readonly preset: PresetRecord | undefined;
  /** Dtype of the weights; those of 16 bits are read as float32. */
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
  const { architecture, geometry, normalization, classNames, preset, training } = file.description;
  const input = normalization && { ...geometry, ...normalization };
  return { architecture, normalization, input, classNames, preset, dtype: file.dtype, epochsDone: training?.epochsDone };
}

/** A model file that is open: its description has been checked, its tensors have not been read yet. */
export interface OpenModelFile {
  description: ModelDescription;
  /** Whether the file says nothing but the weights. */
  weightsAlone: boolean;
  /** Dtype of the weights. */
  dtype: "float32" | "float64";
  /** Requires the file to hold every tensor of the architecture. @throws ERR_CORRUPT_FILE naming one that does not fit, or all of them */
  requireTensors(): void;
  state(): Promise<NamedTensor[]>;
  momentum(): Promise<NamedTensor[]>;
  close(): Promise<void>;
}

/**
 * Opens a model file, of this library or with the weights alone of another program, and checks its description.
 *
 * @throws ERR_CORRUPT_FILE for anything but the file of a ResNet, of a version that this library reads; ERR_IO for a file that cannot be read
 */
export async function openModelFile(path: string): Promise<OpenModelFile> {
  const file = await openSafetensors(path).catch((error: unknown) => explainPickle(path, error));
  try {
    // Ours under torchvision's names say what they are too; any other file of this library is not a network's.
    const stated = file.metadata.get("format");
    const described = stated?.startsWith("libtorch-ood/") || (stated === torchFormat && file.metadata.has("model"));
    const weights = described ? undefined : recogniseWeights(file);
    const description = weights === undefined ? parseDescription(file) : bareDescription(weights.architecture);
    const ours = weights?.ours ?? ownName;
    const read = async (wanted: (name: string) => string | undefined) => {
      const tensors: NamedTensor[] = [];
      for (const stored of file.tensors.keys()) {
        const name = wanted(stored);
        if (name === undefined) continue;
        const refuse = (expected: string, found: string) => corrupt(path, stored, `one of ${expected}`, found);
        tensors.push({ name, tensor: new Tensor(await readStoredTensor(file, stored, refuse)) });
      }
      return tensors;
    };
    return {
      description,
      weightsAlone: weights !== undefined,
      dtype: file.tensors.get(weights?.stored("fc.weight") ?? "fc.weight")?.dtype === "F64" ? "float64" : "float32",
      requireTensors: () => {
        if (weights !== undefined) return requireTensors(file, weights);
        const shapes = new Map([...file.tensors].map(([stored, { shape }]) => [ours(stored), shape]));
        requireSizes(path, description.architecture, (name) => shapes.get(name));
      },
      state: async () => {
        const state = await read((stored) => (stored.startsWith(momentumPrefix) ? undefined : ours(stored)));
        return weights === undefined ? state : withCounters(state, weights.architecture);
      },
      momentum: () => read((name) => (name.startsWith(momentumPrefix) ? name.slice(momentumPrefix.length) : undefined)),
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** The description of a network of which a file has the weights alone. */
function bareDescription(architecture: Architecture): ModelDescription {
  const imagenet = architecture.stem === "imagenet" && architecture.inChannels === 3 ? preprocessings.imagenet : undefined;
  return {
    architecture,
    geometry: imagenet === undefined ? usualGeometry(architecture) : geometryOf(imagenet),
    normalization: imagenet && { mean: imagenet.mean, std: imagenet.std },
    ...{ classNames: undefined, preset: undefined, trainedOn: SeenInputs.none, training: undefined },
  };
}

/** The state with a counter of batches, 0, where the file has none. */
function withCounters(state: NamedTensor[], architecture: Architecture): NamedTensor[] {
  const there = new Set(state.map(({ name }) => name));
  const missing = tensorsOf(architecture).filter(({ name }) => isCounter(name) && !there.has(name));
  return [...state, ...missing.map(({ name }) => ({ name, tensor: Tensor.from(BigInt64Array.of(0n), []) }))];
}

/** Says how to convert a pickle, whose code this library does not run. */
async function explainPickle(path: string, error: unknown): Promise<never> {
  if ((error as LibtorchOodError).code !== "ERR_CORRUPT_FILE") throw error;
  const handle = await open(path);
  const { buffer, bytesRead } = await handle.read(new Uint8Array(contentBytes), 0, contentBytes, 0).finally(() => handle.close());
  const kind = contentKind(buffer.subarray(0, bytesRead)) ?? "";
  if (!/^a (PyTorch file|Python pickle)/.test(kind)) throw error;
  throw new LibtorchOodError(
    "ERR_CORRUPT_FILE",
    `${path}: expected a .safetensors file, found ${kind.split(":")[0]}. Convert it in Python:\n${conversion}`,
    {
      cause: error,
    },
  );
}

const conversion = [
  "  import torch; from safetensors.torch import save_file",
  '  weights = torch.load("weights.pth", map_location="cpu", weights_only=True)',
  '  save_file({name: tensor.contiguous() for name, tensor in weights.items()}, "weights.safetensors")',
].join("\n");

function parseDescription(file: SafetensorsFile): ModelDescription {
  const { path, metadata } = file;
  const found = metadata.get("format");
  if (found !== format && found !== torchFormat) throw corruptFile(path, formatName(format), formatName(found));
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
  geometry: optionalOrNull(anyObject), // files of 0.1 have none
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
  // Files of 0.1 say nothing of the stem: theirs is that of CIFAR.
  const missing = architectureKeys.filter((key) => key !== "stem" && (given[key] === undefined || given[key] === null));
  if (missing.length > 0) corrupt(path, place, `an architecture with ${missing.join(", ")}`, Object.keys(given).join(", "));
  let architecture: Architecture;
  try {
    architecture = resolveArchitecture(given as unknown as ArchitectureOptions);
  } catch (error) {
    corrupt(path, place, "a valid architecture", (error as Error).message);
  }
  const { geometry, normalization, classNames } = stored;
  return {
    architecture,
    geometry: geometry ? refusing(path, () => checkedGeometry(geometry, architecture)) : usualGeometry(architecture),
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
export function requireImageSize(
  path: string,
  { architecture, geometry }: Pick<ModelDescription, "architecture" | "geometry">,
  maxImageSize: number,
): void {
  const size = Math.max(architecture.imageSize, geometry.size);
  if (size <= maxImageSize) return;
  const expected = `a network for images of at most ${maxImageSize}×${maxImageSize} pixels (maxImageSize)`;
  throw new LibtorchOodError("ERR_RANGE", `${path}: expected ${expected}, found ${size}×${size}`);
}

function checkedGeometry(stored: object, architecture: Architecture): ImageGeometry {
  const geometry = geometryOf(checkGeometry(stored, "geometry"));
  requireFitting(architecture, geometry);
  return geometry;
}

/** Runs a check of callers' values on a file's values: what it throws becomes ERR_CORRUPT_FILE. */
function refusing<T>(path: string, check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw new LibtorchOodError("ERR_CORRUPT_FILE", `${path}: ${(error as Error).message}`, { cause: error });
  }
}
