// `libtorch-ood fit`: fits a detector to a network and its training images, or to features in files.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { Detector, type NamedInputs, type SelfTest } from "../detector/detector";
import { setThreads } from "../native/device";
import { LibtorchOodError } from "../core/errors";
import { covariances, type Covariance } from "../statistics/gaussian-mixture";
import { imageResizes, type ImageResize } from "../images/geometry";
import type { Precision } from "../native/precision";
import { presetNames, type PresetName } from "../protocols/preset";
import { names as scoreNames, requirements, type ScoreName, type TrainingOutputs } from "../scores";
import { dataHelp, dataSpec, randomSubset, readConformed, shareOrData, type DataSpec } from "./data-sets";
import { readClassNames } from "../formats/class-list";
import { readClassesBeside } from "../formats/features-layout";
import { arrayFiles, readExtracted, readLabels } from "./extracted";
import { labelsIn } from "./extracted-classes";
import { requireOutput } from "./output-files";
import { addModelOptions, modelArgument, openModel, readingOf, type ModelOptions } from "./model-option";
import { choice, given, keyValue, precisionOption, realNumber, wholeNumber } from "./option-values";
import { pathTo } from "./path-option";
import { scoreOptionsHelp } from "./score-choice";
import { addSessionOptions, exitCodesHelp, runSession, type Session, type SessionOptions } from "./session";
import { acceptTruncatedOption, maxPixelsOption, skipErrorsOption, skippedText } from "./skipped";
import { splitByShares } from "./split";
import { facts, share } from "./table";
import { visible } from "./visible";

interface FitOptions extends SessionOptions, ModelOptions {
  out: string;
  calibration?: number | DataSpec | string;
  validation?: number;
  test?: number;
  seed: number;
  subset?: number;
  features?: string;
  labels?: string;
  classNames?: string;
  score?: ScoreName;
  preset?: PresetName;
  covariance?: Covariance;
  scoreOption?: Record<string, unknown>;
  falseAlarmRate?: number;
  minimumAccuracy?: number;
  selfTest: boolean;
  allowOverlap?: boolean;
  resize?: ImageResize;
  batchSize?: number;
  precision: Precision;
  threads?: number;
}

const help = `
A detector needs the images that the network was trained on. For its p-values and false-alarm rate it also needs images of the same kind that the
network was not trained on. If "train" held out a share (--validation 0.1 --seed 1), "--calibration 0.1 --seed 1" takes exactly that share. To use one
folder for everything, split it three ways: give --validation, --calibration and --test with the same shares and --seed to train, fit and evaluate.

${scoreOptionsHelp()}

${dataHelp}

Features of any other model, instead of <model> <data>:
  Give --features PATH and --calibration PATH. PATH is a folder with features.npy, labels.npy and, if the model has them, logits.npy ("extract" writes
  such folders; classes.txt in it names the classes); or a .safetensors file with tensors of these names; or a .npy file of features (with --labels, a
  list of class numbers). Scores that are not fitted to classes need no labels. The model must not have been trained on any calibration input.

The command prints three things about the detector:
  - the share of calibration and training inputs that it names correctly, and its mean confidence;
  - the interval that holds the share of later in-distribution inputs that it flags, in 95 of 100 calibrations of this size;
  - the share that it flags of noise, of shuffled patches, and of each class if the score were fitted without that class.

Examples:
  libtorch-ood train cifar10:data --validation 0.1 --seed 1 --epochs 60 --milestones 40,50 --out cifar10.safetensors
  libtorch-ood fit cifar10.safetensors cifar10:data --calibration 0.1 --seed 1 --covariance ledoit-wolf --out detector.safetensors
  libtorch-ood fit --features embeddings.npy --labels classes.npy --calibration held-out.npy --covariance ledoit-wolf --out detector.safetensors

${exitCodesHelp}`;

export function fitCommand(): Command {
  const command = new Command("fit")
    .description("fit a detector, which says whether to trust an answer, and write it to a file")
    .argument("[model]", modelArgument)
    .argument("[data]", "the images that it was trained on (DATA, see below)", dataSpec)
    .requiredOption("--out <file>", "the .safetensors file to write", pathTo("a file"))
    .requiredOption(
      "--calibration <share|data|path>",
      "held-out share of the images (such as 0.1), or a data set; with --features, features in files",
    )
    .optionsGroup("Data:")
    .option("--validation <share>", 'share that "train" validated on, if --calibration is another', realNumber)
    .option("--test <share>", 'share to leave out for "evaluate", as "train" did', realNumber)
    .option("--seed <n>", "seed for the shares and the subset", wholeNumber(0), 0)
    .option("--subset <n>", "size of the subset that the network was trained on, if it was a subset", wholeNumber(1))
    .option(...skipErrorsOption)
    .option(...maxPixelsOption)
    .option(...acceptTruncatedOption)
    .option("--features <path>", "training features in files, instead of <model> and <data>", pathTo("a folder or file"))
    .option("--labels <file>", "class numbers in a .npy file, if --features has no labels beside it", pathTo("a file"))
    .option(
      "--class-names <file>",
      "names of the classes, one a line, with --features (default: classes.txt beside the features)",
      pathTo("a file"),
    )
    .optionsGroup("Score:")
    .addOption(choice("--score <name>", "score of the detector (default gaussian-mixture)", scoreNames))
    .addOption(choice("--preset <name>", "choices of a publication for the mixture", presetNames))
    .addOption(choice("--covariance <name>", "covariance of the mixture (default full)", covariances))
    .option("--score-option <name=value>", "any other option of the score, such as rank=32 or prior=uniform; may be repeated", keyValue)
    .option("--false-alarm-rate <share>", "share of in-distribution images that may be flagged (default 0.05)", realNumber)
    .option("--minimum-accuracy <share>", "warn if a smaller share of calibration inputs is named correctly (default 0.5)", realNumber)
    .option("--no-self-test", "do not score noise, shuffled patches and left-out classes")
    .option("--allow-overlap", "allow calibration images that were trained on; the false-alarm rate then does not hold")
    .optionsGroup("Computation:")
    .addOption(
      choice("--resize <how>", "how to resize images of another size than the model's (default: as its preprocessing says)", imageResizes),
    )
    .option("--batch-size <n>", "images per forward pass (default 64)", wholeNumber(1))
    .addOption(precisionOption("precision of the convolutions, now and in every prediction, also on other machines").default("auto"))
    .option("--device <name>", "cpu (default), cuda or cuda:N")
    .option("--threads <n>", "number of CPU threads (default: all cores)", wholeNumber(1));
  return addSessionOptions(addModelOptions(command))
    .addHelpText("after", help)
    .action((model: string | undefined, data: DataSpec | undefined, options: FitOptions & { calibration: string }) => {
      if (options.features === undefined && (model === undefined || data === undefined)) {
        command.error("error: expected <model> and <data>, or --features <path>");
      }
      if (options.features !== undefined && model !== undefined)
        command.error("error: expected <model> and <data> or --features, not both");
      const work = async (session: Session): Promise<void> => {
        await requireOutput("--out", options.out, inputs(model, options));
        if (options.threads !== undefined) await setThreads(options.threads);
        const detector =
          model === undefined || data === undefined
            ? await fitFeatures(options.features as string, options, session)
            : await fitImages(model, data, calibrationOf(command, options.calibration), options, session);
        await report(detector, options, session);
      };
      return runSession(options, work, { interrupted: () => "nothing was written" });
    });
}

/** The files that are read, and that a detector must not replace. */
function inputs(
  model: string | undefined,
  { features, labels, classNames, calibration }: FitOptions & { calibration: string },
): Record<string, string | undefined> {
  const named = { "<model>": model, "--features": features, "--labels": labels, "--class-names": classNames };
  if (features === undefined) return named;
  const inside = ([option, folder]: readonly [string, string]) =>
    arrayFiles.map((name) => [`${name} of ${option}`, join(folder, name)] as const);
  const folders = [
    ["--features", features],
    ["--calibration", calibration],
  ] as const;
  return { ...named, "--calibration": calibration, ...Object.fromEntries(folders.flatMap(inside)) };
}

function calibrationOf(command: Command, text: string): number | DataSpec {
  try {
    return shareOrData(text);
  } catch (error) {
    command.error(`error: option '--calibration' argument '${text}' is invalid. ${(error as Error).message}`);
  }
}

async function fitImages(
  path: string,
  spec: DataSpec,
  calibration: number | DataSpec,
  options: FitOptions,
  session: Session,
): Promise<Detector> {
  const { progress, signal } = session;
  const { seed, subset } = options;
  const model = await openModel(path, options, { file: options.classNames, signal });
  try {
    const reading = { split: "train" as const, ...readingOf(model.input, options.resize), session };
    const images = randomSubset((await readConformed(spec, reading)).data, subset, seed);
    const { validation, test } = options;
    const parts = splitByShares(images, { validation, test, calibration: typeof calibration === "number" ? calibration : undefined }, seed);
    const held = parts.calibration ?? (await readConformed(calibration as DataSpec, { ...reading, split: "test" })).data;
    const { train } = parts;
    let total = 0;
    return await Detector.fit(
      model,
      train,
      given({
        ...scoreOf(options),
        calibration: held,
        resize: options.resize,
        batchSize: options.batchSize,
        precision: options.precision,
        signal,
        onProgress: (done: number, all: number) => {
          if (total !== all) progress.start("extracting", all);
          total = all;
          progress.update(done);
        },
      }),
    );
  } finally {
    model.dispose();
  }
}

async function fitFeatures(path: string, options: FitOptions & { calibration: string }, { signal, note }: Session): Promise<Detector> {
  if (/^0?\.\d+$/.test(options.calibration) && !existsSync(options.calibration)) {
    const expected = "features in files beside --features: a share is of images";
    throw new LibtorchOodError("ERR_OPTION", `--calibration: expected ${expected}, found ${options.calibration}`);
  }
  const training = await readExtracted(path);
  const labels = options.labels === undefined ? training.labels : await readLabels(options.labels);
  if (labels === undefined && requirements(options.score ?? "gaussian-mixture", options.scoreOption).fit.includes("labels")) {
    const expected = "expected labels beside the features, or in a file with --labels, for a score that is fitted to classes";
    throw new LibtorchOodError("ERR_OPTION", `${path}: ${expected}; found none (--score nearest-neighbours needs none)`);
  }
  const { features, rawFeatures, logits, labels: heldLabels } = await readExtracted(options.calibration);
  const classNames = await classNamesOf(path, training, options, signal);
  const calibrationClasses = { labels: heldLabels, classNames: await readClassesBeside(options.calibration) };
  const calibrationLabels = labelsIn(calibrationClasses, classNames, options.calibration, (text) => note(`warning: ${text}`));
  return Detector.fromFeatures({
    ...training,
    ...given({ ...scoreOf(options), classNames, device: options.device, signal, labels }),
    calibration: given({ features, rawFeatures, logits, labels: calibrationLabels }),
  });
}

/** Those of --class-names, else those beside the features, where these say what class a row is. */
async function classNamesOf(
  path: string,
  { labels, logits }: TrainingOutputs,
  { labels: list, classNames }: FitOptions,
  signal: AbortSignal,
): Promise<string[] | undefined> {
  if (classNames !== undefined) return readClassNames(classNames, signal);
  const named = logits !== undefined || (labels !== undefined && list === undefined);
  return named ? readClassesBeside(path) : undefined;
}

function scoreOf({ score, preset, covariance, scoreOption, ...options }: FitOptions) {
  const { falseAlarmRate, allowOverlap, minimumAccuracy, selfTest } = options;
  const scoreOptions = given({ covariance, ...scoreOption });
  return given({ score, preset, falseAlarmRate, allowOverlap, minimumAccuracy, selfTest, scoreOptions });
}

async function report(detector: Detector, options: FitOptions, session: Session): Promise<void> {
  const { output, progress, note } = session;
  progress.stop();
  session.throwIfAborted();
  await detector.save(options.out);
  const skippedList = await session.skipped?.writeBeside(options.out);
  for (const warning of detector.warnings) note(`warning: ${warning}`);
  const { scoreName, takes, classNames, falseAlarmRate, calibrationScores, preset, warnings } = detector;
  const count = calibrationScores.length;
  const { calibration: named } = detector;
  const selfTest = detector.selfTest();
  if (options.json) {
    await output.json({
      detector: options.out,
      score: scoreName,
      takes,
      needs: detector.needs,
      classNames,
      precision: detector.precision,
      falseAlarmRate,
      calibration: { count, lowest: calibrationScores[0], highest: calibrationScores[count - 1], ...named.calibration },
      training: named.training,
      selfTest,
      preset,
      skipped: session.skipped?.listed,
      warnings,
    });
  } else {
    await output.print(
      facts([
        ["detector", options.out],
        ["takes", takes === "images" ? `images, computed in ${detector.precision}` : `features (${detector.needs.join(", ")})`],
        ["score", scoreName],
        [
          "classes",
          classNames.length === 0
            ? "none: there were no labels"
            : classNames.length > 12
              ? `${classNames.slice(0, 12).join(", ")}, … (${classNames.length})`
              : classNames.join(", "),
        ],
        ["skipped", skippedText(session.skipped?.failures.length ?? 0, skippedList)],
        ["calibration", `${count} held-out${naming(named.calibration)}`],
        ["training", named.training && `${named.training.count} looked at${naming(named.training)}`],
        ["false alarms", falseAlarms(selfTest)],
        ["flagged", flagged(selfTest, takes === "images" ? "shuffled patches" : "shuffled columns")],
        ["left out", leftOut(selfTest)],
      ]),
    );
  }
  detector.dispose();
}

function naming(inputs: NamedInputs | undefined): string {
  if (inputs === undefined) return "";
  const { accuracy, meanConfidence } = inputs;
  return `${accuracy === undefined ? "" : `, ${share(accuracy)} named rightly`}, mean confidence ${share(meanConfidence)}`;
}

function falseAlarms({ falseAlarmRate, falseAlarms: { lower, upper }, byClass = [] }: SelfTest): string {
  const range = `${percent(lower)} to ${percent(upper)} of later in-distribution inputs in 95 of 100 calibrations of this size`;
  const shares = byClass.map(({ flagged: of }) => of);
  const classes = shares.length < 2 ? "" : `; by class ${percent(Math.min(...shares))} to ${percent(Math.max(...shares))} of these`;
  return `${percent(falseAlarmRate)} asked for, ${range}${classes}`;
}

function flagged({ noise, shuffled }: SelfTest, disorder: string): string | undefined {
  return noise && shuffled && `${percent(noise.flagged)} of noise, ${percent(shuffled.flagged)} of ${disorder}`;
}

function leftOut({ leftOutClasses }: SelfTest): string | undefined {
  if (leftOutClasses === undefined) return undefined;
  const classes = leftOutClasses.classes.map(({ className, flagged: of }) => `${visible(className)} ${percent(of)}`);
  return `${percent(leftOutClasses.flagged)} of classes that the score does not know (${classes.join(", ")})`;
}

function percent(value: number): string {
  return `${Number((100 * value).toFixed(1))} %`;
}
