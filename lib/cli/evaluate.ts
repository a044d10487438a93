// `libtorch-ood evaluate`: how well a detector, or a score over a network, tells a test set from out-of-distribution sets.

import { Command } from "commander";
import type { Dataset } from "../datasets";
import { Detector } from "../detector";
import { setThreads } from "../device";
import { LibtorchOodError } from "../errors";
import { accuracy, ece, evaluate as evaluateScores, type Evaluation } from "../metrics";
import { resolvePrecision, type Precision } from "../precision";
import { presetNames, type PresetName } from "../presets/preset";
import { ResNet } from "../resnet";
import { fit, names as scoreNames, requirements, type ScoreName } from "../scores";
import { imageRows, judgeOverlap, SeenInputs, type Overlap, type OverlapEffect } from "../seen-inputs";
import { dataHelp, dataSpec, dataSpecs, randomSubset, readData, setName, type DataSpec, type ReadDataOptions } from "./data-sets";
import { classify, extractEvidence } from "./evidence";
import { fileFormat } from "./file-format";
import { choice, given, keyValue, precisionOption, realNumber, wholeNumber } from "./option-values";
import { predictRows } from "./predictions";
import { addSessionOptions, exitCodesHelp, runSession, type Session, type SessionOptions } from "./session";
import { skipErrorsOption } from "./skipped";
import { splitByShares } from "./split";
import { facts, share, table } from "./table";

interface EvaluateOptions extends SessionOptions {
  test: DataSpec | number;
  data?: DataSpec;
  validation?: number;
  calibration?: number;
  ood: DataSpec[];
  train?: DataSpec;
  score?: ScoreName;
  scoreOption?: Record<string, unknown>;
  preset?: PresetName;
  tpr?: number;
  falseAlarmRate?: number;
  allowOverlap?: boolean;
  subset?: number;
  seed: number;
  batchSize?: number;
  precision?: Precision;
  device?: string;
  threads?: number;
}

const help = `
AUROC is the chance that an image of the test set scores higher than one of the other set: 1 is perfect, 0.5 is guessing. AUPR-in and AUPR-out
are the areas under precision and recall with the one or the other set as the positives. FPR@95 is the share of one set let through by a threshold
that lets 95 in 100 of the other through. "flagged" is the share that the detector calls out of distribution.

<file> is a detector of "fit", or a network of "train": then --score names what is measured, without fitting where it looks at logits
(max-softmax, the default, max-logit, entropy, energy) or at feature-norm, else fitted to --train.

A set of which more than 1 in 100 images were trained on, fitted to or calibrated on is refused (--allow-overlap takes it); fewer give a warning.
The files of "train" and "fit" say which they were.

${dataHelp}

Examples:
  libtorch-ood evaluate detector.safetensors --test cifar10:data --ood cifar100:data --ood svhn:data --ood tiny-imagenet:data
  libtorch-ood evaluate photos-detector.safetensors --data photos --validation 0.1 --calibration 0.1 --test 0.2 --seed 1 --ood textures
  libtorch-ood evaluate cifar10.safetensors --score vim --train cifar10:data --test cifar10:data --ood svhn:data --json

${exitCodesHelp}`;

export function evaluateCommand(): Command {
  const command = new Command("evaluate")
    .description("measure how well a detector or a score tells a test set from other sets")
    .argument("<file>", "a detector or a network")
    .requiredOption(
      "--test <data|share>",
      "in-distribution images that were not trained on (default part: test), or a share of --data",
      (text: string) => (/^[\d.]+$/.test(text) ? realNumber(text) : dataSpec(text)),
    )
    .requiredOption("--ood <data>", "an out-of-distribution set (default part: test); may be given again", dataSpecs)
    .optionsGroup("Split, where --test is a share:")
    .option("--data <data>", 'the images that "train" and "fit" split, by the same shares and --seed', dataSpec)
    .option("--validation <share>", 'as for "train"', realNumber)
    .option("--calibration <share>", 'as for "fit"', realNumber)
    .optionsGroup("Score:")
    .addOption(choice("--score <name>", "of a network (default max-softmax)", scoreNames))
    .option("--train <data>", "the network's training images, for scores that are fitted", dataSpec)
    .option("--score-option <name=value>", "option of the score, as covariance=ledoit-wolf; may be given again", keyValue)
    .optionsGroup("Metrics:")
    .addOption(choice("--preset <name>", "choices of a publication (positive class, estimator, groups of sets)", presetNames))
    .option("--tpr <share>", "true-positive rate of the FPR (default 0.95)", realNumber)
    .option("--false-alarm-rate <share>", 'in place of the detector\'s own, for "flagged"', realNumber)
    .option(
      "--allow-overlap",
      "take images that were trained on, fitted to or calibrated on: in --test they flatter the numbers, in --ood they worsen them",
    )
    .option("--subset <n>", "at most this many images of each set, drawn at random", wholeNumber(1))
    .option("--seed <n>", "of the split and the subset", wholeNumber(0), 0)
    .option(...skipErrorsOption)
    .optionsGroup("Computation:")
    .option("--batch-size <n>", "images per forward pass (default 64)", wholeNumber(1))
    .addOption(precisionOption("of a network's convolutions (default auto); a detector has its own"))
    .option("--device <name>", "cpu (default), cuda or cuda:N")
    .option("--threads <n>", "of the CPU (default: all cores)", wholeNumber(1));
  return addSessionOptions(command)
    .addHelpText("after", help)
    .action((file: string, options: EvaluateOptions) => runSession(options, (session) => evaluate(file, options, session)));
}

/** What is known of one set of images. */
interface Scored {
  data: Dataset;
  scores: Float64Array;
  labels: Int32Array;
  confidences: Float64Array;
  /** Only a detector flags. */
  flagged?: number;
  /** Images that the subject was made from. */
  seen: number;
}

interface Subject {
  kind: "detector" | "network";
  scoreName: ScoreName;
  /** Of the network's convolutions. */
  precision: Detector["precision"];
  warnings: readonly string[];
  numClasses: number;
  /** Images that have to be resized become of this size, in this way. */
  reading: Pick<ReadDataOptions, "imageSize" | "channels" | "resize">;
  score(data: Dataset): Promise<Omit<Scored, "seen">>;
  overlap(data: Dataset): Promise<Overlap>;
  dispose(): void;
}

async function evaluate(file: string, options: EvaluateOptions, session: Session): Promise<void> {
  const { progress, output, note } = session;
  if (options.threads !== undefined) await setThreads(options.threads);
  const subject = await ((await fileFormat(file)) === "detector" ? detectorSubject : networkSubject)(file, options, session);
  const read = async (spec: DataSpec): Promise<Dataset> => {
    const data = await readData(spec, { ...subject.reading, split: "test", conform: true, session });
    return randomSubset(data, options.subset, options.seed);
  };
  const score = async (spec: DataSpec, data: Dataset, effect: OverlapEffect): Promise<Scored> => {
    const overlap = await subject.overlap(data);
    const remedy = "evaluate on others, or set --allow-overlap";
    const warning = judgeOverlap(spec.text, overlap, seenBy[subject.kind], { allowed: options.allowOverlap ?? false, remedy, effect });
    if (warning !== undefined) note(`warning: ${warning}`);
    progress.start(`scoring ${data.name}`, data.length);
    const scored = await subject.score(data);
    progress.stop();
    session.throwIfAborted();
    return { ...scored, seen: overlap.indices.length };
  };
  const readTest = async (): Promise<[DataSpec, Dataset]> => {
    const { test: share, data, validation, calibration, seed } = options;
    if (typeof share === "object") return [share, await read(share)];
    if (data === undefined)
      throw new LibtorchOodError("ERR_OPTION", `--data: expected the images of which --test ${share} is a share, found none`);
    const whole = await readData(data, { ...subject.reading, split: "train", session });
    const part = splitByShares(whole, { validation, calibration, test: share }, seed).test as Dataset;
    return [data, randomSubset(part, options.subset, seed)];
  };
  for (const warning of subject.warnings) note(`warning: ${warning}`);
  const test = await score(...(await readTest()), "flatters");
  const others = new Map<string, Scored>();
  for (const spec of options.ood) {
    const data = await read(spec); // one set in memory at a time
    const name = others.has(setName(spec, data)) ? spec.text : setName(spec, data);
    others.set(name, await score(spec, data, "worsens"));
  }
  const scores = Object.fromEntries([...others].map(([name, scored]) => [name, scored.scores]));
  const evaluation = evaluateScores(test.scores, scores, given({ preset: options.preset, tpr: options.tpr }));
  // Labels of another set of classes say nothing about right and wrong.
  const comparable = test.data.classNames.length === subject.numClasses;
  const right = comparable ? accuracy(test.labels, test.data.labels) : undefined;
  const calibrationError = comparable ? ece(test.confidences, test.labels, test.data.labels) : undefined;
  subject.dispose();
  if (options.json) {
    await output.json({
      [subject.kind]: file,
      score: subject.scoreName,
      precision: subject.precision,
      test: { name: test.data.name, count: test.data.length, accuracy: right, ece: calibrationError, ...recordOf(test) },
      ...evaluation,
      sets: Object.fromEntries(
        Object.entries(evaluation.sets).map(([name, set]) => [name, { ...set, ...recordOf(others.get(name) as Scored) }]),
      ),
    });
    return;
  }
  const flagged = test.flagged === undefined ? "" : `, ${share(test.flagged)} flagged`;
  await output.print(
    facts([
      [subject.kind, file],
      ["score", subject.scoreName],
      ["precision", subject.precision],
      ["test set", `${test.data.name}, ${test.data.length} images${flagged}`],
      ["accuracy", right === undefined ? undefined : share(right)],
      ["calibration", calibrationError === undefined ? undefined : `${share(calibrationError)} expected error of the confidence`],
    ]),
  );
  await output.print(`\n${metricsTable(evaluation, others)}`);
}

/** What is to be known of a set beside its numbers. */
function recordOf({ data, flagged, seen }: Scored) {
  return { flagged, seen, resize: data.resize };
}

const seenBy = { detector: "trained on, fitted to or calibrated on", network: "trained on or fitted to" } as const;

function metricsTable({ sets, groups, choices }: Evaluation, others: ReadonlyMap<string, Scored>): string {
  const flags = [...others.values()].some(({ flagged }) => flagged !== undefined);
  const header = [
    "set",
    "images",
    "AUROC",
    "AUPR-in",
    "AUPR-out",
    `FPR@${Math.round(choices.tpr * 1000) / 10}`,
    ...(flags ? ["flagged"] : []),
  ];
  const rows = Object.entries(sets).map(([name, { count, auroc, auprIn, auprOut, fpr }]) => {
    const flagged = others.get(name)?.flagged;
    return [name, count, ...[auroc, auprIn, auprOut, fpr].map(share), flagged === undefined ? undefined : share(flagged)];
  });
  for (const [name, group] of Object.entries(groups)) {
    const { auroc, auprIn, auprOut, fpr, missing } = group;
    const label = missing.length === 0 ? `mean, ${name}` : `mean, ${name} (without ${missing.join(", ")})`;
    rows.push([label, undefined, ...[auroc, auprIn, auprOut, fpr].map(share), undefined]);
  }
  return table(header, rows, [1]);
}

async function detectorSubject(file: string, options: EvaluateOptions, { signal, progress }: Session): Promise<Subject> {
  const { score, train, scoreOption, precision } = options;
  const unused = Object.entries({ score, train, "score-option": scoreOption, precision }).find(([, value]) => value !== undefined);
  if (unused)
    throw new LibtorchOodError("ERR_OPTION", `--${unused[0]}: a detector has its own; expected a network, found the detector ${file}`);
  const detector = await Detector.load(file, given({ device: options.device }));
  const { architecture } = detector;
  if (architecture === undefined) throw new LibtorchOodError("ERR_OPTION", `${file}: expected a detector of images, found one of features`);
  const predictOptions = given({ falseAlarmRate: options.falseAlarmRate, batchSize: options.batchSize, signal });
  return {
    kind: "detector",
    scoreName: detector.scoreName,
    precision: detector.precision,
    warnings: detector.warnings,
    numClasses: detector.classNames.length,
    reading: { imageSize: architecture.imageSize, channels: architecture.inChannels, resize: detector.resize },
    dispose: () => detector.dispose(),
    overlap: (data) => detector.overlap(data),
    score: async (data) => {
      const scores = new Float64Array(data.length);
      const labels = new Int32Array(data.length);
      const confidences = new Float64Array(data.length);
      let flagged = 0;
      for await (const { offset, predictions } of predictRows(detector, data, predictOptions)) {
        predictions.forEach((prediction, i) => {
          scores[offset + i] = prediction.score;
          labels[offset + i] = prediction.label as number; // there for images, as is the confidence
          confidences[offset + i] = prediction.confidence as number;
          if (prediction.outOfDistribution) flagged++;
        });
        progress.update(offset + predictions.length);
      }
      return { data, scores, labels, confidences, flagged: flagged / data.length };
    },
  };
}

async function networkSubject(file: string, options: EvaluateOptions, session: Session): Promise<Subject> {
  const { signal, progress } = session;
  const name = options.score ?? "max-softmax";
  const scoreOptions = options.scoreOption;
  const model = await ResNet.load(file, given({ device: options.device }));
  const { imageSize, inChannels: channels, numClasses } = model.architecture;
  const reading = { imageSize, channels };
  const precision = resolvePrecision(options.precision ?? "auto", model.device);
  const extractOptions = given({ batchSize: options.batchSize, precision, signal });
  const extract = (data: Dataset, kinds: Parameters<typeof extractEvidence>[2]) =>
    extractEvidence(model, data, kinds, { ...extractOptions, onProgress: (done) => progress.update(done) });
  const needs = requirements(name, scoreOptions);
  if (needs.fit.length > 0 && options.train === undefined) {
    throw new LibtorchOodError("ERR_OPTION", `--train: expected the training images, to which the score ${name} is fitted, found none`);
  }
  const weights = await model.weights();
  const { temperature } = model.architecture;
  const weight = weights.get("fc.weight");
  let training = {};
  let seen = model.trainedOn;
  if (options.train !== undefined && needs.fit.length > 0) {
    const data = await readData(options.train, { ...reading, split: "train", session });
    seen = seen.join(await SeenInputs.of(imageRows(data)));
    progress.start(`reading ${data.name}`, data.length);
    training = {
      ...(await extract(data, needs.fit)),
      labels: data.labels,
      weight: weight && { data: Float64Array.from(weight.toArray() as Float32Array, (value) => value / temperature), shape: weight.shape },
      bias: weights.get("fc.bias"),
    };
    progress.stop();
  }
  const device = needs.fit.length > 0 ? given({ device: options.device, signal }) : {};
  const score = await fit(name, training, { ...device, ...scoreOptions });
  return {
    kind: "network",
    scoreName: name,
    precision,
    warnings: score.warnings,
    numClasses,
    reading,
    dispose: () => {
      score.dispose();
      model.dispose();
    },
    overlap: (data) => seen.among(imageRows(data)),
    score: async (data) => {
      const { logits, ...evidence } = await extract(data, [...needs.score, "logits"]);
      const { labels, confidences } = await classify(logits, signal);
      return { data, scores: await score.score({ ...evidence, logits }, { signal }), labels, confidences };
    },
  };
}
