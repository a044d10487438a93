// Checks one line of `results.jsonl` against the types in rows.ts; the error says which field is wrong, what was expected and what was found.

import { describe } from "../core/checks";
import {
  anything,
  check,
  like,
  list,
  number,
  object,
  oneOf,
  optionalOrNull,
  record,
  text,
  truth,
  whole,
  type Schema,
} from "../core/schema";
import type { HeaderRow, MeasurementRow, ResultRow } from "./rows";

/** The fault of a line; the reader adds the file and the number of the line. */
export class RowProblem extends Error {
  constructor(
    readonly expected: string,
    readonly found: string,
  ) {
    super(`expected ${expected}, found ${found}`);
  }
}

/** @throws RowProblem */
export function checkRow(value: unknown): ResultRow {
  const { kind } = check(object({ kind: oneOf(["header", "measurement"]) }), value, problem);
  const row = check<ResultRow>(kind === "header" ? header : measurement, value, problem);
  if (row.kind === "measurement") requireNames(row.ood);
  return row;
}

function problem(place: string, expected: string, found: unknown): never {
  throw new RowProblem(place === "" ? expected : `${place} to be ${expected}`, found === undefined ? "nothing" : describe(found));
}

const share = number({ minimum: 0, maximum: 1 });
const count = whole();
/** May be a fraction: scores that tie at the last place share it. */
const amount = number({ minimum: 0 });
/** A number or null: a loss that diverged and a measure of collapse that is not defined are NaN, which JSON writes as null. */
const numberOrNaN = like("a number", (value) =>
  value === null ? NaN : typeof value === "number" && Number.isFinite(value) ? value : undefined,
);

const header: Schema<HeaderRow> = object(
  {
    kind: oneOf(["header"]),
    version: oneOf([1]),
    preset: optionalOrNull(text),
    configuration: anything,
    configurationHash: text,
    library: text,
    libtorch: text,
    made: optionalOrNull(object({ at: text, machine: text, device: text, threads: count, node: text, command: optionalOrNull(text) })),
  },
  "keep",
);

const cell = object(
  {
    name: text,
    depth: oneOf([18, 50]),
    spectralNorm: truth,
    avgPoolShortcut: truth,
    l2Normalize: truth,
    paperEpochs: count,
    epochs: count,
    milestones: list(count),
    batchSize: count,
    width: amount,
    featureDim: optionalOrNull(count),
  },
  "keep",
);

const oodResult = object({ auroc: share, auprIn: share, auprOut: share, fpr95: share, falsePositives: amount });

/** Old names of scores and sets with the new ones. Rows with old names are refused, since they would silently not be compared with the paper's numbers. */
const renamed: Readonly<Record<string, string>> = {
  tinyimagenet: "tiny-imagenet",
  mixture: "gaussian-mixture",
  softmax: "max-softmax",
  "logit-mixture": "gaussian-mixture:logits",
};

/** @throws RowProblem */
function requireNames(ood: MeasurementRow["ood"]): void {
  for (const [set, scores] of Object.entries(ood)) {
    for (const [name, place] of [
      [set, "ood"] as const,
      ...Object.keys(scores).map((score) => [score, `ood[${JSON.stringify(set)}]`] as const),
    ]) {
      const today = Object.hasOwn(renamed, name) ? renamed[name] : undefined;
      if (today !== undefined) problem(place, `free of the name "${name}": replace it with "${today}" in the whole file`, name);
    }
  }
}

const measurement: Schema<MeasurementRow> = object(
  {
    kind: oneOf(["measurement"]),
    cell,
    seed: count,
    phase: oneOf(["training", "nc-loss", "control"]),
    epoch: count,
    final: truth,
    inDistribution: text,
    loss: numberOrNaN,
    accuracy: share,
    validationAccuracy: optionalOrNull(share),
    learningRate: number(),
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
    ood: record(record(oodResult)) as Schema<MeasurementRow["ood"]>,
    jitter: numberOrNaN,
    singularValues: optionalOrNull(record(list(number()))),
    samples: optionalOrNull(
      record(
        object({ logDensity: list(number()), features: optionalOrNull(list(list(number()))), labels: optionalOrNull(list(number())) }),
      ),
    ),
    scaled: list(text),
    seconds: object({ training: number(), measurement: number() }),
    at: optionalOrNull(text),
  },
  "keep",
);
