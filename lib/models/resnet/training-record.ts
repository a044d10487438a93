// The training record of a checkpoint (recipe, history, hash of the data), and its reader, which checks every field.

import { anything, check, either, list, number, object, oneOf, optionalOrNull, text, truth, whole, type Schema } from "../../core/schema";
import { corrupt } from "../../formats/state-file";
import { computePrecisions } from "../../native/precision";
import type { NativeEpochSums } from "../../native/surface";
import { storedPresetRecord } from "../../protocols/preset";
import type { EpochReport, TrainingRecipe } from "./fit-options";

/** What a checkpoint holds for resuming besides weights and momentum. */
export interface TrainingRecord {
  epochsDone: number;
  /** Number of epochs that the run was asked for; a cosine schedule depends on it. */
  epochs: number;
  recipe: TrainingRecipe;
  /** What is done of the epoch that a checkpoint within an epoch is of; undefined at an epoch's end. */
  epochSums?: NativeEpochSums | undefined;
  /** SHA-256 of the training and validation data, in hexadecimal. */
  dataHash: string;
  history: EpochReport[];
}

const share = number({ minimum: 0, maximum: 1 });
const notNegative = number({ minimum: 0 });

const bounds = list(notNegative) as Schema<[number, number]>;

const storedRecipe = object({
  loss: optionalOrNull(oneOf(["cross-entropy", "neural-collapse"])),
  batchSize: whole(1),
  learningRate: either(notNegative, object({ head: notNegative, body: notNegative })) as Schema<TrainingRecipe["learningRate"]>,
  frozen: optionalOrNull(list(text)), // files of 0.1 have none
  momentum: share,
  weightDecay: notNegative,
  nesterov: truth,
  schedule: oneOf(["milestones", "cosine"]),
  milestones: list(whole(Number.MIN_SAFE_INTEGER)),
  gamma: notNegative,
  cropPadding: whole(),
  horizontalFlip: truth,
  resizedCrop: optionalOrNull(object({ scale: bounds, ratio: bounds })),
  colorJitter: optionalOrNull(object({ brightness: notNegative, contrast: notNegative, saturation: notNegative, hue: notNegative })),
  shuffle: truth,
  precision: oneOf(computePrecisions),
  seed: whole(),
});

const storedEpoch = object({
  epoch: whole(1),
  loss: number(),
  accuracy: share,
  validationAccuracy: optionalOrNull(share),
  learningRate: notNegative,
  imagesPerSecond: notNegative,
  seconds: notNegative,
  precision: optionalOrNull(oneOf([...computePrecisions, "float64"])),
  preset: anything,
});

const storedRecord = object({
  recipe: storedRecipe,
  epochsDone: whole(),
  epochs: whole(1),
  epochSums: optionalOrNull(object({ batch: whole(1), seen: whole(), correct: whole(), loss: number() })),
  dataHash: text,
  history: list(storedEpoch),
});

/** The training record in the JSON of a file; undefined where it has none. @throws ERR_CORRUPT_FILE naming the field */
export function parseTrainingRecord(path: string, value: unknown): TrainingRecord | undefined {
  if (value === undefined || value === null) return undefined;
  const record = check(storedRecord, value, (place, expected, found) => corrupt(path, place, expected, found), "training");
  const { epochsDone, history } = record;
  const { loss = "cross-entropy", frozen = [] } = record.recipe; // of older files
  const { resizedCrop, colorJitter, ...stored } = record.recipe;
  const recipe = { ...stored, ...(resizedCrop && { resizedCrop }), ...(colorJitter && { colorJitter }), loss, frozen };
  if (history.length !== epochsDone) corrupt(path, "training.history", `a report for each of the ${epochsDone} epochs done`, history);
  const reports = history.map(({ preset: stored, precision, ...report }, i): EpochReport => {
    if (report.epoch !== i + 1) corrupt(path, `training.history[${i}].epoch`, `${i + 1}, in order`, report.epoch);
    const preset = storedPresetRecord(stored);
    return { ...report, precision: precision ?? recipe.precision, ...(preset && { preset }) };
  });
  return { ...record, recipe, history: reports };
}
