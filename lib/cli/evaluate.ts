// `libtorch-ood evaluate`: measures how well a detector, or scores over a network or features, tell a test set from out-of-distribution sets.

import { Command } from "commander";
import { stat } from "node:fs/promises";
import { extname } from "node:path";
import type { Dataset } from "../data";
import { labelsAmong } from "../data/class-labels";
import { setThreads } from "../native/device";
import { located } from "../core/located";
import { LibtorchOodError } from "../core/errors";
import { io } from "../core/file-errors";
import { accuracy, ece, evaluate as evaluateScores, type Evaluation } from "../metrics";
import { presetNames, type PresetName } from "../protocols/preset";
import type { ScoreName } from "../scores";
import { judgeOverlap, type OverlapEffect } from "../core/overlap";
import { dataHelp, dataSpec, randomSubset, readData, setName, type DataSpec } from "./data-sets";
import { inputSpec, inputSpecs, readInputs, type Inputs, type InputSpec } from "./evaluate-inputs";
import { evaluateJson, evaluateText, type Looked } from "./evaluate-result";
import { detectorSubject, featuresSubject, networkSubject, type Subject, type SubjectOptions } from "./evaluate-subjects";
import { fileFormat } from "./file-format";
import { addModelOptions, type Reading } from "./model-option";
import { choice, given, precisionOption, realNumber, wholeNumber } from "./option-values";
import { pathTo } from "./path-option";
import { scoreChoice, scoreOption, scoreOptionsHelp } from "./score-choice";
import { addSessionOptions, exitCodesHelp, runSession, type Session, type SessionOptions } from "./session";
import { acceptTruncatedOption, maxPixelsOption, skipErrorsOption } from "./skipped";
import { splitByShares, type SplitParts } from "./split";

interface EvaluateOptions extends SessionOptions, SubjectOptions {
  test: InputSpec | number;
  data?: DataSpec;
  validation?: number;
  calibration?: number;
  ood: InputSpec[];
  preset?: PresetName;
  tpr?: number;
  allowOverlap?: boolean;
  subset?: number;
  seed: number;
  threads?: number;
}

const help = `
AUROC is the chance that an input of the test set scores higher than an input of the other set: 1 is perfect, 0.5 is guessing. AUPR-in and AUPR-out
are the areas under precision and recall with the test set or the other set as the positives. FPR95 is the share of the test set that is flagged by
mistake at the threshold that catches 95 % of the other set (with --preset ddu-2021: the share of the other set that is missed at the threshold that
keeps 95 % of the test set). "flagged" is the share that the detector calls out of distribution.

<file> is one of:
  - a detector that "fit" wrote; --test and --ood are then images, or features for a detector of features;
  - a network that "train" wrote; --test and --ood are then images. --score names the scores. max-softmax (the default), max-logit, entropy, energy and
    feature-norm are fitted to nothing. The others are fitted to --train, or to the rest of --data if --test is a share of it;
  - features of training inputs of any model, in a folder or file as "extract" writes them. The scores of --score are fitted to them.
--score takes several names separated by commas, or all. Every set is then read once for all scores.

Features (for --test and --ood) are a folder with features.npy, logits.npy, labels.npy, a .safetensors file, or one .npy file.
Images of another size or number of channels than the network's are resized and converted, and a note says so.

A set is refused if more than 1 in 100 of its inputs were trained on, fitted to or calibrated on (--allow-overlap accepts it). Fewer give a warning.
The files of "train" and "fit" record those inputs.

${scoreOptionsHelp()}

${dataHelp}

Examples:
  libtorch-ood evaluate detector.safetensors --test cifar10:data --ood cifar100:data --ood svhn:data --ood tiny-imagenet:data
  libtorch-ood evaluate photos-detector.safetensors --data photos --validation 0.1 --calibration 0.1 --test 0.2 --seed 1 --ood textures
  libtorch-ood evaluate cifar10.safetensors --score all --train cifar10:data --test cifar10:data --ood svhn:data --ood Textures=dtd/images
  libtorch-ood evaluate features/train --score all --test features/test --ood features/svhn --json

--json prints one object: detector, network or features (the file); score; test with name, count, accuracy and ece (where labels are known), flagged
(of a detector), seen (how many were trained on), resize and madeFrom (what images were made of); preset and choices (what the numbers follow);
sets, by name: count, auroc, aupr (of the positive class of choices), auprIn, auprOut, fpr, imageList, flagged, seen, resize, madeFrom; groups, by
name: the means, sets and missing; with --skip-errors skipped, the path, code and reason of each image that was left out. Where --score asks for all or
several, scores has preset, choices, sets and groups by score, and leftOut says why a score of "all" is missing.

${exitCodesHelp}`;

export function evaluateCommand(): Command {
  const command = new Command("evaluate")
    .description("measure how well a detector or scores tell a test set from other sets")
    .argument("<file>", "a detector, a network, or features of training inputs")
    .requiredOption(
      "--test <data|share>",
      "in-distribution images or features that were not trained on (default part: test), or a share of --data",
      (text: string) => (/^[\d.]+$/.test(text) ? realNumber(text) : inputSpec(text)),
    )
    .requiredOption("--ood <data>", "an out-of-distribution set (default part: test); may be repeated", inputSpecs)
    .optionsGroup("Split, if --test is a share:")
    .option("--data <data>", 'the images that "train" and "fit" split, with the same shares and --seed', dataSpec)
    .option("--validation <share>", 'share that "train" was given', realNumber)
    .option("--calibration <share>", 'share that "fit" was given', realNumber)
    .optionsGroup("Score:")
    .option("--score <names>", "scores of a network or features: names separated by commas, or all (default max-softmax)", scoreChoice)
    .option("--train <data>", "the network's training images, for scores that are fitted (default: the rest of --data)", dataSpec)
    .option(
      "--score-option <name=value>",
      "option of a score, such as covariance=ledoit-wolf; with several scores vim.dimension=64; may be repeated",
      scoreOption,
    )
    .optionsGroup("Metrics:")
    .addOption(choice("--preset <name>", "choices of a publication (positive class, estimator, groups of sets)", presetNames))
    .option("--tpr <share>", "true-positive rate of the FPR (default 0.95)", realNumber)
    .option("--false-alarm-rate <share>", 'rate for "flagged" (default: the detector\'s own)', realNumber)
    .option(
      "--allow-overlap",
      "allow inputs that were trained on, fitted to or calibrated on; in --test they flatter the numbers, in --ood they worsen them",
    )
    .option("--subset <n>", "at most this many images of each set, drawn at random", wholeNumber(1))
    .option("--seed <n>", "seed for the split and the subset", wholeNumber(0), 0)
    .option(...skipErrorsOption)
    .option(...maxPixelsOption)
    .option(...acceptTruncatedOption)
    .optionsGroup("Computation:")
    .option("--model <file>", "the TorchScript or ONNX model of a detector whose file does not hold the weights", pathTo("a file"))
    .option("--batch-size <n>", "images per forward pass (default 64)", wholeNumber(1))
    .addOption(precisionOption("precision of a network's convolutions (default auto; a detector has its own)"))
    .option("--device <name>", "cpu (default), cuda or cuda:N")
    .option("--threads <n>", "number of CPU threads (default: all cores)", wholeNumber(1));
  return addSessionOptions(addModelOptions(command))
    .addHelpText("after", help)
    .action((file: string, options: EvaluateOptions) => runSession(options, (session) => evaluate(file, options, session)));
}

/** The subject that a file holds. @throws ERR_IO for a file that cannot be read; ERR_OPTION for another .safetensors file */
async function subjectOf(file: string, options: EvaluateOptions, session: Session): Promise<Subject> {
  if (extname(file) === ".npy" || (await io("read", file, stat(file))).isDirectory()) return featuresSubject(file, options, session);
  const format = await fileFormat(file);
  const make = { detector: detectorSubject, network: networkSubject, features: featuresSubject }[format];
  return make(file, options, session);
}

/** Refuses options that split --data if --test is a data set. @throws ERR_OPTION naming the option */
function requireUsed({ test, data, validation, calibration }: EvaluateOptions): void {
  if (typeof test === "number") return;
  const unused = Object.entries({ data, validation, calibration }).find(([, value]) => value !== undefined);
  if (unused === undefined) return;
  throw new LibtorchOodError("ERR_OPTION", `--${unused[0]}: expected it where --test is a share of --data, found --test ${test.text}`);
}

type Split = (reading: Reading) => Promise<SplitParts>;

/** The parts of --data, which is read once; undefined if --test is no share of it. */
function splitOf({ test, data, validation, calibration, seed }: EvaluateOptions, session: Session): Split | undefined {
  if (typeof test !== "number" || data === undefined) return undefined;
  let parts: Promise<SplitParts> | undefined;
  const read = async (reading: Reading) =>
    splitByShares(await readData(data, { ...reading, split: "train", session }), { validation, calibration, test }, seed);
  return (reading) => (parts ??= read(reading));
}

async function evaluate(file: string, options: EvaluateOptions, session: Session): Promise<void> {
  const { progress, output, note } = session;
  if (options.threads !== undefined) await setThreads(options.threads);
  requireUsed(options);
  const split = splitOf(options, session);
  const subject = await subjectOf(
    file,
    { ...options, ...given({ trainingPart: split && (async (reading) => (await split(reading)).train) }) },
    session,
  );
  const { kind, reading, kinds, numClasses } = subject;
  const { subset, seed } = options;
  const read = (spec: InputSpec): Promise<Inputs> => readInputs(spec, { reading, kinds, subset, seed, session });
  const look = async (spec: Pick<InputSpec, "text">, inputs: Inputs, effect: OverlapEffect): Promise<Looked> => {
    const noun = reading === undefined ? "inputs" : "images";
    const overlap = await located(`${spec.text}: `, subject.overlap(inputs));
    const remedy = "evaluate on others, or set --allow-overlap";
    const warning = judgeOverlap(spec.text, overlap, seenBy[kind], { allowed: options.allowOverlap ?? false, remedy, effect, noun });
    if (warning !== undefined) note(`warning: ${warning}`);
    progress.start(`scoring ${inputs.name}`, inputs.count);
    const scored = await located(`${spec.text}: `, subject.score(inputs));
    progress.stop();
    session.throwIfAborted();
    const { name, count, resize, madeFrom } = inputs; // one set in memory at a time
    return { name, count, resize, madeFrom, ...scored, seen: overlap.indices.length };
  };
  const readTest = async (): Promise<[Pick<InputSpec, "text">, Inputs]> => {
    const { test: share, data } = options;
    if (typeof share === "object") return [share, await read(share)];
    if (data === undefined)
      throw new LibtorchOodError("ERR_OPTION", `--data: expected the images of which --test ${share} is a share, found none`);
    if (reading === undefined)
      throw new LibtorchOodError("ERR_OPTION", `${data.text}: expected features in files for --test, found images`);
    const part = (await (split as Split)(reading)).test as Dataset;
    const rows = randomSubset(part, subset, seed);
    const { length: count, labels, resize } = rows;
    return [data, { name: setName(data, rows), count, rows, labels, resize, madeFrom: undefined }];
  };
  for (const warning of subject.warnings) note(`warning: ${warning}`);
  for (const { score, reason } of subject.leftOut) note(`note: ${score} is left out: ${reason}`);
  const [tested, inside] = await readTest();
  const test = await look(tested, inside, "flatters");
  const truth = trueLabels(inside, subject, note);
  const others = new Map<string, Looked>();
  for (const spec of options.ood) {
    const outside = await read(spec);
    const name = others.has(outside.name) ? spec.text : outside.name;
    others.set(name, await look(spec, outside, "worsens"));
  }
  const inDistributionSet = options.preset === undefined ? undefined : test.name;
  const choices = given({ preset: options.preset, tpr: options.tpr, inDistributionSet });
  const evaluations = new Map<ScoreName, Evaluation>();
  for (const score of subject.scoreNames) {
    const outside = Object.fromEntries([...others].map(([name, { scores }]) => [name, scores.get(score) as Float64Array]));
    evaluations.set(score, evaluateScores(test.scores.get(score) as Float64Array, outside, choices));
  }
  const comparable = truth !== undefined && test.answers !== undefined && truth.every((label) => label < (numClasses ?? Infinity));
  const result = {
    ...{ file, subject, test, others, evaluations },
    byScore: options.score === "all" || (options.score?.length ?? 1) > 1,
    accuracy: comparable ? accuracy(test.answers.labels, truth) : undefined,
    skipped: session.skipped?.listed,
    ece: comparable ? ece(test.answers.confidences, test.answers.labels, truth) : undefined,
  };
  subject.dispose();
  if (options.json) await output.json(evaluateJson(result));
  else await output.print(evaluateText(result));
}

const seenBy = {
  detector: "trained on, fitted to or calibrated on",
  network: "trained on or fitted to",
  features: "fitted to",
} as const;

/** Whether the classes are more than their numbers. */
function haveNames(classNames: readonly string[] | undefined): boolean {
  return classNames !== undefined && classNames.some((name, label) => name !== String(label));
}

/** Labels of another set of classes say nothing about right and wrong. Those of features without names are numbers of their model. */
function trueLabels({ rows, labels, name, classNames: own }: Inputs, subject: Subject, note: Session["note"]) {
  const { classNames } = subject;
  if (!("images" in rows) && (labels === undefined || !haveNames(own) || !haveNames(classNames))) return labels;
  const known = "images" in rows ? rows : { labels: labels as Int32Array, classNames: own as string[] };
  const found = labelsAmong(known, classNames);
  if (!("missing" in found)) return found;
  note(
    `note: no accuracy: ${JSON.stringify(found.missing)}, a class of ${name}, is none of the ${subject.kind === "features" ? "training features'" : "network's"}`,
  );
  return undefined;
}
