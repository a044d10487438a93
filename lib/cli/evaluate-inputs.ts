// Parses and reads a set of `evaluate`: images, or features in files, depending on what its subject takes.

import { existsSync } from "node:fs";
import { basename } from "node:path";
import { InvalidArgumentError } from "commander";
import type { Dataset } from "../data";
import { LibtorchOodError } from "../core/errors";
import type { ResizeRecord } from "../images/geometry";
import type { ModelOutputs, TrainingOutputs } from "../scores";
import { Tensor } from "../native/tensor";
import { dataSpec, existingFolder, labelled, randomSubset, readConformed, setName, type DataSpec } from "./data-sets";
import type { Reading } from "./model-option";
import { readClassesBeside } from "../formats/features-layout";
import { requireNamed } from "./extracted-classes";
import { readExtracted } from "./extracted";
import { given } from "./option-values";
import type { Session } from "./session";

/** A set as the command line names it. */
export interface InputSpec {
  readonly text: string;
  readonly label: string | undefined;
  /** The set as images; undefined if it cannot be images. */
  readonly data: DataSpec | undefined;
  /** Path of the folder or file of features; undefined if the set cannot be features. */
  readonly features: string | undefined;
}

/** Parses a set, for commander. @throws InvalidArgumentError for text that names none */
export function inputSpec(text: string): InputSpec {
  const { label, rest } = labelled(text);
  if (/\.(npy|safetensors)$/.test(rest) && existsSync(rest)) return { text, label, data: undefined, features: rest };
  const data = specOf(text);
  return { text, label, data, features: data.name === "folder" && data.path === rest ? rest : undefined };
}

/** @throws InvalidArgumentError that names all that a set may be */
function specOf(text: string): DataSpec {
  try {
    return dataSpec(text);
  } catch (error) {
    const { message } = error as Error;
    if (!message.endsWith(existingFolder)) throw error;
    const files = "an existing folder of images or features, or an existing .npy or .safetensors file of features";
    throw new InvalidArgumentError(`${message.slice(0, -existingFolder.length)}${files}.`);
  }
}

/** Parses the sets of an option that may be repeated. */
export function inputSpecs(text: string, before: readonly InputSpec[] = []): InputSpec[] {
  return [...before, inputSpec(text)];
}

/** A set that is looked at. */
export interface Inputs {
  readonly name: string;
  readonly count: number;
  readonly rows: Dataset | ModelOutputs;
  /** Labels of the rows; undefined where they are unknown. */
  readonly labels: Int32Array | undefined;
  /** Names of the labels of features; undefined where they are unknown. */
  readonly classNames?: readonly string[] | undefined;
  readonly resize: ResizeRecord | undefined;
  /** [C, H, W] of the images before they were made what the network takes; undefined where they were that. */
  readonly madeFrom: readonly number[] | undefined;
}

/** Reads a set. @throws ERR_OPTION if it is of the other kind, or lacks outputs that the subject looks at; and what readers throw */
export async function readInputs(
  spec: InputSpec,
  {
    reading,
    kinds,
    subset,
    seed,
    session,
  }: {
    reading: Reading | undefined;
    /** Which outputs the files have to hold. */
    kinds: readonly (keyof ModelOutputs)[];
    subset: number | undefined;
    seed: number;
    session: Session;
  },
): Promise<Inputs> {
  if (reading === undefined) {
    if (spec.features === undefined) throw wrongKind(spec, "features in files, as extract writes them", "images");
    if (subset !== undefined) throw new LibtorchOodError("ERR_OPTION", "--subset: features are taken as they are; expected none");
    const inputs = featureInputs(spec, await readOutputs(spec.features, kinds));
    if (inputs.count === 0) throw new LibtorchOodError("ERR_SHAPE", `${spec.text}: expected at least one row, found none`);
    const classNames = await readClassesBeside(spec.features);
    if (inputs.labels !== undefined && classNames !== undefined) requireNamed(inputs.labels, classNames, spec.text);
    return { ...inputs, classNames };
  }
  if (spec.data === undefined) throw wrongKind(spec, "images", "features");
  const { data, madeFrom } = await readConformed(spec.data, { ...reading, split: "test", session });
  const rows = randomSubset(data, subset, seed);
  return { name: setName(spec.data, data), count: rows.length, rows, labels: rows.labels, resize: data.resize, madeFrom };
}

function featureInputs({ label, features }: InputSpec, outputs: TrainingOutputs): Inputs {
  const matrix = (outputs.features ?? outputs.rawFeatures ?? outputs.logits) as Tensor;
  const labels = Tensor.is(outputs.labels) ? Int32Array.from(outputs.labels.toArray() as Int32Array, Number) : undefined;
  const name = label ?? basename(features as string).replace(/\.(npy|safetensors)$/, "");
  return {
    name,
    count: matrix.shape[0] as number,
    rows: given({ features: outputs.features, rawFeatures: outputs.rawFeatures, logits: outputs.logits }),
    labels,
    resize: undefined,
    madeFrom: undefined,
  };
}

/** @throws ERR_OPTION where the files have not all that is looked at */
export async function readOutputs(path: string, kinds: readonly (keyof TrainingOutputs)[]): Promise<TrainingOutputs> {
  const found = await readExtracted(path);
  const missing = kinds.find((kind) => found[kind] === undefined);
  if (missing === undefined) return found;
  const there = Object.keys(found).join(", ") || "none of them";
  throw new LibtorchOodError("ERR_OPTION", `${path}: expected ${kinds.join(" and ")}, found ${there}`);
}

function wrongKind({ text }: InputSpec, expected: string, found: string): LibtorchOodError {
  return new LibtorchOodError(
    "ERR_OPTION",
    `${text}: expected ${expected}, found ${found}: a detector takes what it was fitted to, a network images`,
  );
}
