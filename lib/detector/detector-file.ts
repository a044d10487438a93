// The file of a detector: network, score and calibration in one .safetensors file, all of which is checked when it is read.

import { modelOutputs } from "../core/model-outputs";
import { anyObject, anything, check, like, list, number, object, oneOf, optional, text } from "../core/schema";
import type { NativeNamedTensor } from "../native/surface";
import { computePrecisions, type ComputePrecision } from "../native/precision";
import { storedPresetRecord, type PresetRecord } from "../protocols/preset";

import { imageResizes, kernelName, type ImageResize } from "../images/geometry";
import { parseModelDescription, requireSizes, type ModelDescription } from "../models/resnet/model-file";
import { parseStoredModel, type StoredModel } from "../models/stored-model";
import { names as scoreNames } from "../scores/registry";
import { SeenInputs } from "../data/seen-inputs";
import type { ModelOutputs, ScoreName } from "../scores/score";
import type { CalibrationReport } from "./calibration-report";
import type { SelfTestRecord } from "./self-test";
import { storedReport, storedSelfTest } from "./stored-examination";
import { corrupt, readStateFile, writeStateFile } from "../formats/state-file";

const format = "libtorch-ood/detector";
const parts = ["network", "score", "classifier"] as const;
type Part = (typeof parts)[number];

/** How images become model outputs: later inputs are treated as the calibration inputs were. */
export interface Extraction {
  readonly precision: ComputePrecision;
  readonly resize: ImageResize;
}

export interface DetectorDescription {
  /** Network whose weights the file holds; undefined if the detector has another model or takes features. */
  readonly network: ModelDescription | undefined;
  /** Model whose weights the file does not hold; undefined if the detector has a network or takes features. */
  readonly model: StoredModel | undefined;
  readonly extraction: Extraction;
  readonly score: { readonly name: ScoreName; readonly description: Record<string, unknown> };
  /** Mixture that names the class; undefined where the logits or the score's own mixture name it. */
  readonly classifier: Record<string, unknown> | undefined;
  /** Where predicted labels come from; "none" if no input is given a class. */
  readonly labelsFrom: "logits" | "score" | "classifier" | "none";
  /** The model outputs of `detector.needs`; files keep an older name. */
  readonly evidence: readonly (keyof ModelOutputs)[];
  readonly classNames: readonly string[];
  readonly falseAlarmRate: number;
  readonly calibrationHash: string;
  /** Hashes of the inputs that the score was fitted to and calibrated on. */
  readonly seen: SeenInputs;
  /** Warnings about these inputs; the score has its own. */
  readonly warnings: readonly string[];
  readonly preset: PresetRecord | undefined;
  readonly report: CalibrationReport;
  /** p-values of the self-test; undefined where none was asked for, and in older files. */
  readonly selfTest: SelfTestRecord | undefined;
}

export interface DetectorFile {
  readonly description: DetectorDescription;
  readonly tensors: Record<Part, NativeNamedTensor[]>;
  /** Scores of the calibration inputs, ascending. */
  readonly calibrationScores: Float64Array;
  /** Labels in the order of the scores; undefined where they were not given. */
  readonly calibrationLabels: Int32Array | undefined;
}

/** The rule by which a center-crop scales the longer side and places the crop. */
const geometry = "torchvision";
/** Warning about a file from before that rule was adopted. */
const olderGeometry =
  "resize: this detector is of a version whose center-crop rounded the longer side, where it is rounded down now; images of other proportions may " +
  "come out up to a pixel beside what calibration saw: fit it anew";

/** Name of the kernel that resizes images for the detector's model. */
function kernelOf({ network, model }: Pick<DetectorDescription, "network" | "model">): string {
  return kernelName(network?.geometry ?? model?.input ?? { kernel: "bilinear", antialias: true });
}

/** Writes the file of a detector, atomically. @throws ERR_IO if the file cannot be written */
export async function writeDetectorFile(
  path: string,
  description: DetectorDescription,
  tensors: Record<Part, readonly NativeNamedTensor[]>,
  calibration: readonly NativeNamedTensor[],
): Promise<void> {
  const state = parts.flatMap((part) => tensors[part].map(({ name, tensor }) => ({ name: `${part}.${name}`, tensor })));
  const extraction = { ...description.extraction, kernel: kernelOf(description), geometry };
  const held = calibration.map(({ name, tensor }) => ({ name: `calibration.${name}`, tensor }));
  await writeStateFile(path, format, { ...description, extraction }, [...state, ...held]);
}

/**
 * Reads and checks the file of a detector.
 *
 * @throws ERR_CORRUPT_FILE for anything but a detector's file of a version that this library reads; ERR_IO if the file cannot be read
 */
export async function readDetectorFile(path: string): Promise<DetectorFile> {
  const { description: given, state } = await readStateFile(path, format);
  const tensors: Record<Part, NativeNamedTensor[]> = { network: [], score: [], classifier: [] };
  let calibrationScores: Float64Array | undefined;
  let storedLabels: NativeNamedTensor["tensor"] | undefined;
  for (const { name, tensor } of state) {
    const part = parts.find((candidate) => name.startsWith(`${candidate}.`));
    if (part !== undefined) tensors[part].push({ name: name.slice(part.length + 1), tensor });
    else if (name === "calibration.labels") storedLabels = tensor;
    else if (name !== "calibration.scores") corrupt(path, "tensors", `${parts.join(", ")} and calibration.scores`, name);
    else calibrationScores = ascending(path, tensor);
  }
  if (calibrationScores === undefined) corrupt(path, "calibration.scores", "held-out scores", undefined);
  const network = given.network === undefined ? undefined : parseModelDescription(path, given.network, "network");
  if (network === undefined && tensors.network.length > 0) corrupt(path, "network", "the description of its tensors", undefined);
  if (network !== undefined) {
    const shapes = new Map(tensors.network.map(({ name, tensor }) => [name, tensor.shape]));
    requireSizes(path, network.architecture, (name) => shapes.get(name));
    // A network has none before it is trained; a detector without could not take an image.
    if (network.normalization === undefined) corrupt(path, "network.normalization", "mean and std of every channel", undefined);
  }
  const model = given.model === undefined || given.model === null ? undefined : parseStoredModel(path, given.model);
  if (network !== undefined && model !== undefined) corrupt(path, "model", "none beside a network", model.kind);
  const description = parse(path, given, network, model);
  const calibrationLabels = storedLabels && labelsOf(path, storedLabels, calibrationScores.length, description.classNames.length);
  return { description, tensors, calibrationScores, calibrationLabels };
}

function labelsOf(path: string, tensor: NativeNamedTensor["tensor"], count: number, numClasses: number): Int32Array {
  const what = "calibration.labels";
  if (tensor.dtype !== "int64" || tensor.shape.length !== 1 || tensor.shape[0] !== count) {
    corrupt(path, what, `int64 [${count}], one per score`, `${tensor.dtype} [${tensor.shape.join(", ")}]`);
  }
  return Int32Array.from(tensor.toTypedArray(), (value: number | bigint, i: number) => {
    if (value < 0 || value >= numClasses) corrupt(path, `${what}[${i}]`, `a class, 0 to ${numClasses - 1}`, value);
    return Number(value);
  });
}

function ascending(path: string, tensor: NativeNamedTensor["tensor"]): Float64Array {
  const values = tensor.toTypedArray();
  if (tensor.dtype !== "float64" || tensor.shape.length !== 1 || values.length === 0) {
    corrupt(path, "calibration.scores", "float64 [n], n of at least 1", `${tensor.dtype} [${tensor.shape.join(", ")}]`);
  }
  values.forEach((value: number | bigint, i: number) => {
    if (!Number.isFinite(value)) corrupt(path, `calibration.scores[${i}]`, "a finite number", value);
    if (i > 0 && value < (values[i - 1] as number)) corrupt(path, `calibration.scores[${i}]`, "ascending numbers", value);
  });
  return values as Float64Array;
}

const storedDescription = object({
  extraction: object({
    precision: oneOf(computePrecisions),
    resize: oneOf(imageResizes),
    kernel: text,
    geometry: optional(oneOf([geometry])),
  }),
  score: object({ name: oneOf(scoreNames), description: anyObject }),
  classifier: optional(anyObject),
  labelsFrom: oneOf(["logits", "score", "classifier", "none"]),
  evidence: list(oneOf(modelOutputs), { least: 1 }),
  classNames: list(text, { distinct: true }),
  falseAlarmRate: number({ above: 0, maximum: 1 }),
  calibrationHash: text,
  seen: like("ascending hashes in base64", (value) => SeenInputs.parse(value)),
  warnings: optional(list(text)),
  preset: anything,
  report: optional(storedReport),
  selfTest: optional(storedSelfTest),
});

function parse(
  path: string,
  given: Record<string, unknown>,
  network: ModelDescription | undefined,
  model: StoredModel | undefined,
): DetectorDescription {
  const stored = check(storedDescription, given, (place, expected, found) => corrupt(path, place, expected, found));
  const { extraction, classNames, labelsFrom, selfTest, warnings = [], report = {} } = stored;
  const { precision, resize, geometry: rule } = extraction;
  if ((classNames.length === 0) !== (labelsFrom === "none")) {
    corrupt(path, "classNames", labelsFrom === "none" ? "none, as no class is named" : "a name for each class", classNames);
  }
  const kernel = kernelOf({ network, model });
  // Images resized by another would not be those that calibration saw.
  if (extraction.kernel !== kernel) corrupt(path, "extraction.kernel", JSON.stringify(kernel), extraction.kernel);
  const outputs = network?.architecture.numClasses ?? model?.numClasses;
  if (outputs !== undefined && labelsFrom === "logits" && classNames.length !== outputs) {
    corrupt(path, "classNames", `${outputs} names`, classNames);
  }
  selfTest?.leftOutClasses?.forEach(({ label }, i) => {
    if (label < classNames.length) return;
    corrupt(path, `selfTest.leftOutClasses[${i}].label`, `a whole number from 0 to ${classNames.length - 1}`, label);
  });
  const older = rule === undefined && network !== undefined && resize === "center-crop";
  return {
    ...{ ...stored, network, model, report },
    extraction: { precision, resize },
    warnings: older ? [...warnings, olderGeometry] : warnings,
    preset: storedPresetRecord(stored.preset),
  };
}
