// Checks one line of `results.jsonl` against lib/experiment/rows.ts, and says which field is wrong, what was expected and what was found.

import { describe } from "../core/checks";
import type { HeaderRow, MeasurementRow, ResultRow } from "./rows";

/** What is wrong with a line; the reader adds the file and the line's number. */
export class RowProblem extends Error {
  constructor(
    readonly expected: string,
    readonly found: string,
  ) {
    super(`expected ${expected}, found ${found}`);
  }
}

type Check = (value: unknown, path: string) => unknown;
type Fields = Readonly<Record<string, Check>>;

/** @throws RowProblem */
export function checkRow(value: unknown): ResultRow {
  const { kind } = object({ kind: oneOf("header", "measurement") })(value, "") as { kind: ResultRow["kind"] };
  return (kind === "header" ? header : measurement)(value, "") as HeaderRow | MeasurementRow;
}

function problem(path: string, expected: string, value: unknown): never {
  throw new RowProblem(path === "" ? expected : `${path} to be ${expected}`, value === undefined ? "nothing" : describe(value));
}

/** The fields named, checked, beside whatever else is there: a later version of the library may write more. */
function object(fields: Fields): Check {
  return (value, path) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) problem(path, "an object", value);
    const checked: Record<string, unknown> = { ...value };
    for (const [name, check] of Object.entries(fields)) {
      const field = Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined;
      checked[name] = check(field, path === "" ? name : `${path}.${name}`);
    }
    return checked;
  };
}

/** An object whose keys are data: without a prototype, so that no name means anything of its own. */
function record(check: Check): Check {
  return (value, path) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) problem(path, "an object", value);
    const checked = Object.create(null) as Record<string, unknown>;
    for (const [name, item] of Object.entries(value)) checked[name] = check(item, `${path}[${JSON.stringify(name)}]`);
    return checked;
  };
}

function list(check: Check): Check {
  return (value, path) => {
    if (!Array.isArray(value)) problem(path, "an array", value);
    return value.map((item, i) => check(item, `${path}[${i}]`));
  };
}

function optional(check: Check): Check {
  return (value, path) => (value === undefined || value === null ? undefined : check(value, path));
}

function oneOf(...allowed: readonly unknown[]): Check {
  return (value, path) => (allowed.includes(value) ? value : problem(path, allowed.map((a) => JSON.stringify(a)).join(" or "), value));
}

const text: Check = (value, path) => (typeof value === "string" ? value : problem(path, "a string", value));
const truth: Check = (value, path) => (typeof value === "boolean" ? value : problem(path, "true or false", value));
const number: Check = (value, path) => (typeof value === "number" && Number.isFinite(value) ? value : problem(path, "a number", value));
/** A loss that diverged, or a measure of collapse that is not defined, is NaN, for which JSON has only null. */
const numberOrNaN: Check = (value, path) => (value === null ? NaN : number(value, path));
const share: Check = (value, path) =>
  typeof value === "number" && value >= 0 && value <= 1 ? value : problem(path, "a number from 0 to 1", value);
const count: Check = (value, path) =>
  Number.isSafeInteger(value) && (value as number) >= 0 ? value : problem(path, "a whole number", value);
/** Scores that tie at the last place share it: a fraction. */
const amount: Check = (value, path) =>
  typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : problem(path, "a number of at least 0", value);
const anything: Check = (value) => value;

const header = object({
  kind: text,
  version: oneOf(1),
  preset: optional(text),
  configuration: anything,
  configurationHash: text,
  library: text,
  libtorch: text,
  made: optional(object({ at: text, machine: text, device: text, threads: count, node: text, command: optional(text) })),
});

const cell = object({
  name: text,
  depth: oneOf(18, 50),
  spectralNorm: truth,
  avgPoolShortcut: truth,
  l2Normalize: truth,
  paperEpochs: count,
  epochs: count,
  milestones: list(count),
  batchSize: count,
  width: amount,
  featureDim: optional(count),
});

const oodResult = object({ auroc: share, auprIn: share, auprOut: share, fpr95: share, falsePositives: amount });

/** Rows of before these had one name each would miss the printed numbers in silence. */
const renamed: Readonly<Record<string, string>> = {
  tinyimagenet: "tiny-imagenet",
  mixture: "gaussian-mixture",
  softmax: "max-softmax",
  "logit-mixture": "gaussian-mixture:logits",
};
const named =
  (check: Check): Check =>
  (value, path) => {
    const old = typeof value === "object" && value !== null ? Object.keys(renamed).find((name) => Object.hasOwn(value, name)) : undefined;
    if (old !== undefined) problem(path, `free of the name "${old}": replace it with "${renamed[old]}" in the whole file`, old);
    return record(check)(value, path);
  };
const oodBySet = named(named(oodResult));

const measurement = object({
  kind: text,
  cell,
  seed: count,
  phase: oneOf("training", "nc-loss", "control"),
  epoch: count,
  final: truth,
  inDistribution: text,
  loss: numberOrNaN,
  accuracy: share,
  validationAccuracy: optional(share),
  learningRate: number,
  collapse: object({
    nc1: numberOrNaN,
    enMeans: numberOrNaN,
    enClassifier: numberOrNaN,
    eaMeans: numberOrNaN,
    eaClassifier: numberOrNaN,
    nc3: numberOrNaN,
    nc4: numberOrNaN,
    rank: count,
  }),
  ood: oodBySet,
  jitter: numberOrNaN,
  singularValues: optional(record(list(number))),
  samples: optional(record(object({ logDensity: list(number), features: optional(list(list(number))), labels: optional(list(number)) }))),
  scaled: list(text),
  seconds: object({ training: number, measurement: number }),
  at: optional(text),
});
