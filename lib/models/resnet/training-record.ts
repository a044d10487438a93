// What a checkpoint says of the training that it is part of, and how it is read back: every field is checked.

import { LibtorchOodError } from "../../core/errors";
import { computePrecisions } from "../../native/precision";
import { storedPresetRecord } from "../../protocols/preset";
import { describe } from "../../core/checks";
import type { EpochReport, TrainingRecipe } from "./fit-options";

/** What resuming needs besides weights and momentum. */
export interface TrainingRecord {
  epochsDone: number;
  /** Epochs that the run was asked for; a cosine schedule depends on it. */
  epochs: number;
  recipe: TrainingRecipe;
  /** SHA-256 of the training and validation data, in hexadecimal. */
  dataHash: string;
  history: EpochReport[];
}

/** @throws ERR_CORRUPT_FILE naming the field */
export function parseTrainingRecord(path: string, value: unknown): TrainingRecord | undefined {
  if (value === undefined || value === null) return undefined;
  const record = new Fields(path, "training", value);
  const recipe = parseRecipe(record.inner("recipe"));
  const epochsDone = record.integer("epochsDone", 0);
  const history = record.list("history");
  if (history.length !== epochsDone) record.fail("history", `a report for each of the ${epochsDone} epochs done`, history);
  return {
    epochsDone,
    epochs: record.integer("epochs", 1),
    recipe,
    dataHash: record.text("dataHash"),
    history: history.map((report, index) => parseReport(new Fields(path, `training.history[${index}]`, report), index + 1, recipe)),
  };
}

function parseRecipe(recipe: Fields): TrainingRecipe {
  const milestones = recipe.list("milestones");
  if (!milestones.every((milestone) => Number.isSafeInteger(milestone))) recipe.fail("milestones", "whole numbers", milestones);
  return {
    loss: recipe.has("loss") ? recipe.oneOf("loss", ["cross-entropy", "neural-collapse"] as const) : "cross-entropy", // files before it had one alone
    batchSize: recipe.integer("batchSize", 1),
    learningRate: recipe.number("learningRate", 0),
    momentum: recipe.number("momentum", 0, 1),
    weightDecay: recipe.number("weightDecay", 0),
    nesterov: recipe.boolean("nesterov"),
    schedule: recipe.oneOf("schedule", ["milestones", "cosine"] as const),
    milestones: milestones as number[],
    gamma: recipe.number("gamma", 0),
    cropPadding: recipe.integer("cropPadding", 0),
    horizontalFlip: recipe.boolean("horizontalFlip"),
    shuffle: recipe.boolean("shuffle"),
    precision: recipe.oneOf("precision", computePrecisions),
    seed: recipe.integer("seed", 0),
  };
}

function parseReport(report: Fields, epoch: number, recipe: TrainingRecipe): EpochReport {
  if (report.integer("epoch", 1) !== epoch) report.fail("epoch", `${epoch}, in order`, report.value("epoch"));
  const preset = storedPresetRecord(report.value("preset"));
  return {
    epoch,
    loss: report.number("loss"),
    accuracy: report.number("accuracy", 0, 1),
    validationAccuracy: report.has("validationAccuracy") ? report.number("validationAccuracy", 0, 1) : undefined,
    learningRate: report.number("learningRate", 0),
    imagesPerSecond: report.number("imagesPerSecond", 0),
    seconds: report.number("seconds", 0),
    precision: report.has("precision") ? report.oneOf("precision", [...computePrecisions, "float64"] as const) : recipe.precision,
    ...(preset && { preset }),
  };
}

/** The fields of an object of a file, each read with what it must be. */
class Fields {
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(
    private readonly path: string,
    private readonly name: string,
    values: unknown,
  ) {
    if (typeof values !== "object" || values === null || Array.isArray(values)) {
      throw new LibtorchOodError("ERR_CORRUPT_FILE", `${path}: ${name}: expected an object, found ${describe(values)}`);
    }
    this.#values = values as Record<string, unknown>;
  }

  value(key: string): unknown {
    return Object.hasOwn(this.#values, key) ? this.#values[key] : undefined;
  }

  has(key: string): boolean {
    return this.value(key) !== undefined && this.value(key) !== null;
  }

  number(key: string, minimum = -Infinity, maximum = Infinity): number {
    const value = this.value(key);
    if (typeof value === "number" && Number.isFinite(value) && value >= minimum && value <= maximum) return value;
    const range = minimum === -Infinity ? "" : maximum === Infinity ? ` of at least ${minimum}` : ` from ${minimum} to ${maximum}`;
    return this.fail(key, `a finite number${range}`, value);
  }

  integer(key: string, minimum: number): number {
    const value = this.value(key);
    if (Number.isSafeInteger(value) && (value as number) >= minimum) return value as number;
    return this.fail(key, `a whole number of at least ${minimum}`, value);
  }

  boolean(key: string): boolean {
    const value = this.value(key);
    return typeof value === "boolean" ? value : this.fail(key, "true or false", value);
  }

  text(key: string): string {
    const value = this.value(key);
    return typeof value === "string" ? value : this.fail(key, "a text", value);
  }

  list(key: string): unknown[] {
    const value = this.value(key);
    return Array.isArray(value) ? value : this.fail(key, "an array", value);
  }

  oneOf<T extends string>(key: string, allowed: readonly T[]): T {
    const value = this.value(key);
    return allowed.find((item) => item === value) ?? this.fail(key, `one of ${allowed.join(", ")}`, value);
  }

  inner(key: string): Fields {
    return new Fields(this.path, `${this.name}.${key}`, this.value(key));
  }

  fail(key: string, expected: string, found: unknown): never {
    throw new LibtorchOodError("ERR_CORRUPT_FILE", `${this.path}: ${this.name}.${key}: expected ${expected}, found ${describe(found)}`);
  }
}
