// The subjects of `evaluate`: a detector, or scores over a network or over features in files. Each set is read once for all scores.

import { Scope } from "../core/scope";
import type { Dataset } from "../data";
import { Detector } from "../detector/detector";
import { located } from "../core/located";
import { isLibtorchOodError, LibtorchOodError } from "../core/errors";
import { modelOutputs } from "../core/model-outputs";
import { resolvePrecision, type Precision } from "../native/precision";
import { internals, isExtractor } from "../models/extractor";
import { fit, requirements, type ModelOutputs, type Score, type ScoreName, type TrainingOutputs } from "../scores";
import type { Preprocessing } from "../data/preprocessing";
import type { Overlap } from "../core/overlap";
import { imageRows, SeenInputs, tensorRows } from "../data/seen-inputs";
import type { Tensor } from "../native/tensor";
import { readData, type DataSpec } from "./data-sets";
import type { Inputs } from "./evaluate-inputs";
import { readOutputs } from "./evaluate-inputs";
import { readClassesBeside } from "../formats/features-layout";
import { classify } from "./classify";
import { openModel, readingOf, type Reading } from "./model-option";
import { given } from "./option-values";
import { predictRows } from "./predictions";
import { chosenScores, optionsOf, takes, type ScoreChoice, type ScoreOptionList } from "./score-choice";
import type { Session } from "./session";

/** The result of a set. */
export interface Scored {
  readonly scores: ReadonlyMap<ScoreName, Float64Array>;
  /** Predicted class and confidence of each input; undefined without logits and detector. */
  readonly answers: { readonly labels: Int32Array; readonly confidences: Float64Array } | undefined;
  /** Only a detector flags. */
  readonly flagged: number | undefined;
}

export interface Subject {
  readonly kind: "detector" | "network" | "features";
  readonly scoreNames: readonly ScoreName[];
  /** Scores that were asked for by "all" and are not among them, with the reason. */
  readonly leftOut: readonly { readonly score: ScoreName; readonly reason: string }[];
  /** Precision of the network's convolutions; undefined without a network. */
  readonly precision: Detector["precision"] | undefined;
  readonly warnings: readonly string[];
  readonly numClasses: number | undefined;
  readonly classNames: readonly string[] | undefined;
  /** How images are read; undefined if the subject takes features. */
  readonly reading: Reading | undefined;
  /** The model outputs that features must have. */
  readonly kinds: readonly (keyof ModelOutputs)[];
  score(inputs: Inputs): Promise<Scored>;
  overlap(inputs: Inputs): Promise<Overlap>;
  dispose(): void;
}

export interface SubjectOptions {
  readonly train?: DataSpec;
  readonly score?: ScoreChoice;
  readonly scoreOption?: ScoreOptionList;
  readonly falseAlarmRate?: number;
  readonly batchSize?: number;
  readonly precision?: Precision;
  readonly device?: string;
  readonly preprocessing?: Preprocessing;
  readonly featuresAt?: string;
  /** The model of a detector whose file does not hold the weights. */
  readonly model?: string;
  /** The training part of --data, for scores that are fitted where there is no --train. */
  readonly trainingPart?: (reading: Reading) => Promise<Dataset>;
}

/** Makes the subject of a detector. @throws ERR_OPTION for options whose values the detector holds itself */
export async function detectorSubject(file: string, options: SubjectOptions, { signal, progress }: Session): Promise<Subject> {
  const { score, train, scoreOption, precision } = options;
  const unused = Object.entries({ score, train, "score-option": scoreOption, precision }).find(([, value]) => value !== undefined);
  if (unused)
    throw new LibtorchOodError("ERR_OPTION", `--${unused[0]}: a detector has its own; expected a network, found the detector ${file}`);
  const detector = await Detector.load(file, given({ device: options.device, model: options.model }));
  const { model, classNames, scoreName } = detector;
  const predictOptions = given({ falseAlarmRate: options.falseAlarmRate, batchSize: options.batchSize, signal });
  return {
    ...{ kind: "detector", scoreNames: [scoreName], leftOut: [], warnings: detector.warnings, classNames, numClasses: classNames.length },
    reading: model && readingOf(model.input, detector.resize),
    precision: model && detector.precision,
    kinds: detector.needs,
    dispose: () => detector.dispose(),
    overlap: ({ rows }) => detector.overlap(rows),
    score: async ({ rows, count }) => {
      const scores = new Float64Array(count);
      const labels = new Int32Array(count);
      const confidences = new Float64Array(count);
      let flagged = 0;
      let answered = true; // not where features have no labels
      for await (const { offset, predictions } of predictRows(detector, rows, predictOptions)) {
        predictions.forEach((prediction, i) => {
          scores[offset + i] = prediction.score;
          const { label, confidence } = prediction;
          if (label === undefined || confidence === undefined) answered = false;
          else [labels[offset + i], confidences[offset + i]] = [label, confidence];
          if (prediction.outOfDistribution) flagged++;
        });
        progress.update(offset + predictions.length);
      }
      return { scores: new Map([[scoreName, scores]]), answers: answered ? { labels, confidences } : undefined, flagged: flagged / count };
    },
  };
}

export async function networkSubject(file: string, options: SubjectOptions, session: Session): Promise<Subject> {
  const { signal, progress } = session;
  const model = await openModel(file, options);
  const { numClasses } = model;
  const reading = readingOf(model.input);
  const precision = resolvePrecision(options.precision ?? "auto", model.device);
  const extractOptions = given({ batchSize: options.batchSize, precision, signal });
  const extract = (data: Dataset, keys: readonly (keyof TrainingOutputs)[]) => {
    const outputs = modelOutputs.filter((output) => (output === "logits" && numClasses !== undefined) || keys.includes(output));
    return model.extract(data, { outputs, ...extractOptions, onProgress: (done) => progress.update(done) });
  };
  const chosen = chosenScores(options.score, (name) => {
    const needed = requirements(name, optionsOf(options, name)).fit.length > 0;
    return needed && options.train === undefined && options.trainingPart === undefined
      ? "--train: expected the training images, to which it is fitted, found none"
      : undefined;
  });
  const needs = chosen.names.map((name) => requirements(name, optionsOf(options, name)));
  const fitted = [...new Set(needs.flatMap((need) => need.fit))];
  const looked = needs.flatMap((need) => need.score);
  let training: TrainingOutputs = {};
  let seen = isExtractor(model) ? model[internals].trainedOn : SeenInputs.none;
  const { train, trainingPart } = options;
  const readTraining = train === undefined ? trainingPart : () => readData(train, { ...reading, split: "train", session });
  if (readTraining !== undefined && fitted.length > 0) {
    const data = await readTraining(reading);
    seen = seen.join(await SeenInputs.of(imageRows(data)));
    progress.start(`reading ${data.name}`, data.length);
    training = { ...(await extract(data, fitted)), labels: data.labels, ...(await model.head()) };
    progress.stop();
  }
  const { scores, leftOut } = await fitAll(chosen, training, options, signal);
  return {
    ...{ kind: "network", scoreNames: [...scores.keys()], leftOut, warnings: warningsOf(scores) },
    ...{ numClasses, classNames: model.classNames, reading, precision, kinds: [] },
    dispose: () => {
      for (const score of scores.values()) score.dispose();
      model.dispose();
    },
    overlap: ({ rows }) => seen.among(imageRows(rows as Dataset)),
    score: ({ rows }) => {
      return Scope.run(async (scope) => {
        const { features, rawFeatures, logits } = await extract(rows as Dataset, looked);
        scope.ownAll([features, rawFeatures, logits]);
        const found = await scoreAll(scores, { features, rawFeatures, logits }, signal);
        return { scores: found, answers: logits && (await classify(logits, signal)), flagged: undefined };
      });
    },
  };
}

/** Scores that are fitted to features in files, of any model. */
export async function featuresSubject(path: string, options: SubjectOptions, { signal }: Session): Promise<Subject> {
  const { train, precision } = options;
  const unused = Object.entries({ train, precision }).find(([, value]) => value !== undefined);
  if (unused) throw new LibtorchOodError("ERR_OPTION", `--${unused[0]}: expected it with a network, found the features ${path}`);
  const training = await readOutputs(path, []);
  const there = (key: keyof TrainingOutputs): boolean => key === "bias" || training[key] !== undefined;
  const chosen = chosenScores(options.score, (name) => {
    const { fit: fitted, score } = requirements(name, optionsOf(options, name));
    const missing = [...fitted, ...score].find((key) => !there(key));
    return missing === undefined ? undefined : `${path}: expected ${missing} for it, found none`;
  });
  const { scores, leftOut } = await fitAll(chosen, training, options, signal, `${path}: `);
  const kinds = [...new Set([...scores.values()].flatMap(({ needs }) => needs))];
  const first = (training.features ?? training.rawFeatures ?? training.logits) as Tensor | undefined;
  const seen = first === undefined ? SeenInputs.none : await SeenInputs.of(tensorRows(first));
  const same: keyof ModelOutputs = training.features ? "features" : training.rawFeatures ? "rawFeatures" : "logits";
  return {
    ...{ kind: "features", scoreNames: [...scores.keys()], leftOut, warnings: warningsOf(scores) },
    ...{ numClasses: undefined, classNames: await readClassesBeside(path), reading: undefined, precision: undefined, kinds },
    dispose: () => {
      for (const score of scores.values()) score.dispose();
    },
    overlap: ({ rows, count }) => {
      const matrix = (rows as ModelOutputs)[same] as Tensor | undefined;
      return matrix === undefined ? Promise.resolve({ indices: [], checked: count }) : seen.among(tensorRows(matrix));
    },
    score: async ({ rows }) => {
      const { logits } = rows as { logits?: Tensor };
      const answers = logits && (await classify(logits, signal));
      return { scores: await scoreAll(scores, rows as ModelOutputs, signal), answers, flagged: undefined };
    },
  };
}

/** Under "all" a score that cannot be fitted is left out with the reason; one that was named is an error. */
async function fitAll(
  { names, all, leftOut }: ReturnType<typeof chosenScores>,
  training: TrainingOutputs,
  options: SubjectOptions,
  signal: AbortSignal,
  where = "",
): Promise<{ scores: Map<ScoreName, Score & { dispose(): void }>; leftOut: Subject["leftOut"] }> {
  const scores = new Map<ScoreName, Score & { dispose(): void }>();
  const failed: { score: ScoreName; reason: string }[] = [];
  for (const name of names) {
    const own = optionsOf(options, name);
    try {
      const fitting = fit(name, training, { ...(takes(name, "device") ? given({ device: options.device }) : {}), signal, ...own });
      scores.set(name, await located(where, fitting));
    } catch (error) {
      if (!all || !isLibtorchOodError(error) || !["ERR_NOT_POSITIVE_DEFINITE", "ERR_RANGE"].includes(error.code)) throw error;
      failed.push({ score: name, reason: `${error.code}: ${error.message}` });
    }
  }
  return { scores, leftOut: [...leftOut, ...failed] };
}

async function scoreAll(
  scores: ReadonlyMap<ScoreName, Score>,
  outputs: ModelOutputs,
  signal: AbortSignal,
): Promise<Map<ScoreName, Float64Array>> {
  const found = new Map<ScoreName, Float64Array>();
  for (const [name, score] of scores) found.set(name, await score.score(outputs, { signal }));
  return found;
}

function warningsOf(scores: ReadonlyMap<ScoreName, Score>): string[] {
  return [...scores].flatMap(([name, { warnings }]) => warnings.map((warning) => (scores.size > 1 ? `${name}: ${warning}` : warning)));
}
