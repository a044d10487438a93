// `libtorch-ood train`: trains a network on a data set.

import { existsSync } from "node:fs";
import { Command } from "commander";
import { computeNormalization } from "../data/normalization";
import { setThreads } from "../native/device";
import { LibtorchOodError } from "../core/errors";
import { imageResizes, type ImageResize } from "../images/geometry";
import { presetNames, type PresetName } from "../protocols/preset";
import { resNetDepths, resNetStems, type ResNetDepth, type ResNetStem } from "../models/resnet/architecture";
import { ResNet, type EpochReport, type FitOptions, type TrainingOptions } from "../models/resnet/resnet";
import { dataHelp, dataSpec, randomSubset, readData, shareOrData, type DataSpec } from "./data-sets";
import { requireOutput } from "./output-files";
import { choice, given, precisionOption, realNumber, wholeNumber, wholeNumbers } from "./option-values";
import { pathTo } from "./path-option";
import { addSessionOptions, exitCodesHelp, runSession, type Session, type SessionOptions } from "./session";
import { acceptTruncatedOption, maxPixelsOption, skipErrorsOption, skippedText } from "./skipped";
import { splitByShares, type SplitParts } from "./split";
import { share } from "./table";
import { visible } from "./visible";

type TrainingChoices = Pick<
  TrainingOptions,
  | "epochs"
  | "batchSize"
  | "learningRate"
  | "momentum"
  | "weightDecay"
  | "nesterov"
  | "schedule"
  | "milestones"
  | "gamma"
  | "shuffle"
  | "precision"
>;

interface TrainOptions extends SessionOptions, TrainingChoices, Pick<TrainingOptions, "checkpoint" | "resume"> {
  checkpointEvery?: number;
  augmentation?: "none" | "crop-flip";
  out: string;
  subset?: number;
  imageSize?: number;
  channels: string;
  resize?: ImageResize;
  preset?: PresetName;
  depth?: string;
  stem?: ResNetStem;
  width?: number;
  featureDim?: number;
  temperature?: number;
  l2?: boolean;
  leakyRelu?: boolean;
  avgPoolShortcut?: boolean;
  spectralNorm?: number | false;
  device?: string;
  threads?: number;
  seed: number;
  validation?: number | DataSpec;
  calibration?: number;
  test?: number;
}

const help = `
${dataHelp}

Examples:
  libtorch-ood train cifar10:data --out cifar10.safetensors --preset seed-paper
  libtorch-ood train photos/train --image-size 64 --epochs 60 --milestones 40,50 --augmentation crop-flip \\
      --validation 0.1 --checkpoint photos.checkpoint --resume --out photos.safetensors

With --checkpoint and --resume, the same command continues a run that was stopped, also by a crash or kill -9.
"fit --calibration" with the same share and --seed takes the images that --validation holds out. To use one folder for everything, split it three
ways: give --validation, --calibration and --test with the same shares and --seed to train, fit and evaluate.

${exitCodesHelp}`;

export function trainCommand(): Command {
  const command = new Command("train")
    .description("train a network on a data set and write it to a file")
    .argument("<data>", "the training set (DATA, see below)", dataSpec)
    .requiredOption("--out <file>", "the .safetensors file to write", pathTo("a file"))
    .optionsGroup("Data:")
    .option("--subset <n>", "train on this many of the images, drawn at random", wholeNumber(1))
    .option(
      "--validation <share|data>",
      "share of the images to hold out (such as 0.1), or a data set, to measure the accuracy after every epoch",
      shareOrData,
    )
    .option("--calibration <share>", 'share of the images to leave out for "fit"', realNumber)
    .option("--test <share>", 'share of the images to leave out for "evaluate"', realNumber)
    .option(...skipErrorsOption)
    .option(...maxPixelsOption)
    .option(...acceptTruncatedOption)
    .option("--image-size <pixels>", 'height and width of a folder\'s images (default 32, and 224 with "--stem imagenet")', wholeNumber(1))
    .addOption(choice("--channels <n>", "channels of a folder's images: 3 (RGB) or 1 (grey)", ["3", "1"]).default("3"))
    .addOption(choice("--resize <how>", "how to resize a folder's images of another size (default center-crop)", imageResizes))
    .optionsGroup("Network:")
    .addOption(choice("--preset <name>", "choices of a publication for network and training; other options override them", presetNames))
    .addOption(choice("--depth <n>", "ResNet18 to ResNet152 (default 18)", resNetDepths.map(String)))
    .addOption(choice("--stem <kind>", "first layers, for small or for large images (default cifar)", resNetStems))
    .option("--width <factor>", "multiplies the channels of every layer (default 1)", realNumber)
    .option("--feature-dim <d>", "length of the feature vector (default 512·width, 2048·width from depth 50 on)", wholeNumber(1))
    .option("--l2", "L2-normalise the features (default)")
    .option("--no-l2", "do not L2-normalise the features")
    .option("--leaky-relu", "use leaky ReLU (default)")
    .option("--no-leaky-relu", "use ReLU")
    .option("--avg-pool-shortcut", "use average-pool shortcuts (default)")
    .option("--no-avg-pool-shortcut", "use 1×1 convolutions as shortcuts")
    .option("--spectral-norm <coefficient>", "largest singular value of a convolution (default 3)", realNumber)
    .option("--no-spectral-norm", "do not bound singular values")
    .option("--temperature <t>", "divisor of the features before the last layer (default 1)", realNumber)
    .optionsGroup("Training:")
    .option("--epochs <n>", "passes over the images (needed unless there is a preset)", wholeNumber(1))
    .option("--batch-size <n>", "images per step (default 128)", wholeNumber(1))
    .option("--learning-rate <r>", "learning rate of SGD (default 0.1)", realNumber)
    .option("--momentum <m>", "momentum of SGD (default 0.9)", realNumber)
    .option("--weight-decay <w>", "L2 penalty on all weights (default 5e-4)", realNumber)
    .option("--nesterov", "use Nesterov momentum")
    .addOption(choice("--schedule <name>", "schedule of the learning rate (default milestones)", ["milestones", "cosine"]))
    .option("--milestones <epochs>", "epochs after which the learning rate is multiplied by gamma, as 40,50", wholeNumbers)
    .option("--gamma <g>", "factor of the learning rate at each milestone (default 0.1)", realNumber)
    .addOption(
      choice(
        "--augmentation <name>",
        "how to vary the images; crop-flip: random crops with a margin of 4, and random mirroring (default none)",
        ["none", "crop-flip"],
      ),
    )
    .option("--no-shuffle", "keep the order of the images")
    .addOption(precisionOption("precision of the convolutions").default("auto"))
    .option("--seed <n>", "seed for weights, order, augmentation, subset and shares", wholeNumber(0), 0)
    .option("--device <name>", "cpu (default), cuda or cuda:N")
    .option("--threads <n>", "number of CPU threads (default: all cores)", wholeNumber(1))
    .optionsGroup("Interruptions:")
    .option("--checkpoint <file>", "write everything that is needed to continue to this file", pathTo("a file"))
    .option("--checkpoint-every <n>", "number of epochs between checkpoints (default 1)", wholeNumber(1))
    .option("--resume", "continue from the checkpoint if there is one");
  return addSessionOptions(command)
    .addHelpText("after", help)
    .action((data: DataSpec, options: TrainOptions) => {
      if (options.epochs === undefined && options.preset === undefined) command.error("error: expected --epochs <n> or --preset <name>");
      if (options.resume && options.checkpoint === undefined) command.error("error: --resume needs --checkpoint <file>");
      const history: EpochReport[] = [];
      return runSession(options, (session) => train(data, options, session, history), { interrupted: () => whatThereIs(options, history) });
    });
}

function whatThereIs({ checkpoint, checkpointEvery = 1 }: TrainOptions, history: readonly EpochReport[]): string {
  if (checkpoint === undefined) return "nothing was written (--checkpoint and --resume let a run go on)";
  if (!existsSync(checkpoint)) return "no checkpoint had been written yet";
  const done = Math.floor((history.at(-1)?.epoch ?? 0) / checkpointEvery) * checkpointEvery;
  const what = done === 0 ? "what was done before" : `the first ${done} epochs`; // a resumed run that did no epoch of its own
  return `${checkpoint} holds ${what}; the same command with --resume goes on from there`;
}

async function train(spec: DataSpec, options: TrainOptions, session: Session, history: EpochReport[]): Promise<void> {
  const { output, progress, signal, note } = session;
  const { out, checkpoint } = options;
  await requireOutput("--out", out, { "--checkpoint": checkpoint });
  if (checkpoint !== undefined) await requireOutput("--checkpoint", checkpoint);
  if (options.threads !== undefined) await setThreads(options.threads);
  const { stem, resize } = options;
  const imageSize = options.imageSize ?? (stem === "imagenet" ? 224 : 32);
  const reading = { split: "train" as const, imageSize, channels: Number(options.channels), resize, session };
  const all = randomSubset(await readData(spec, reading), options.subset, options.seed);
  const { calibration, test } = options;
  // By itself a share is for model.fit to hold out, which its checkpoint records.
  const ownSplit = calibration !== undefined || test !== undefined;
  const heldOut = typeof options.validation === "number" ? options.validation : undefined;
  const parts: SplitParts = ownSplit ? splitByShares(all, { validation: heldOut, calibration, test }, options.seed) : { train: all };
  const images = parts.train;
  const [channels, height, width] = images.shape;
  if (height !== width) throw new LibtorchOodError("ERR_SHAPE", `${spec.text}: expected square images, found ${height}×${width}`);
  const validation =
    typeof options.validation === "object"
      ? await readData(options.validation, { ...reading, split: "test", imageSize: height, channels })
      : (parts.validation ?? options.validation);

  const model = await ResNet.create(
    given({
      preset: options.preset,
      depth: options.depth === undefined ? undefined : (Number(options.depth) as ResNetDepth),
      stem,
      numClasses: images.classNames.length,
      inChannels: channels,
      imageSize: height,
      width: options.width,
      featureDim: options.featureDim,
      temperature: options.temperature,
      l2Normalize: options.l2,
      leakyRelu: options.leakyRelu,
      avgPoolShortcut: options.avgPoolShortcut,
      spectralNorm: typeof options.spectralNorm === "number" ? { coefficient: options.spectralNorm } : options.spectralNorm,
      device: options.device,
      seed: options.seed,
      normalization: images.normalization === undefined ? computeNormalization(images) : undefined,
    }),
  );
  note(`${images.name}: ${images.length} images of ${height}×${width}, ${images.classNames.length} classes`);
  const header = `epoch  loss      accuracy${options.validation === undefined ? "" : "  validation"}  seconds`;
  if (!options.json) await output.print(header);
  let epochShown = 0;
  const show = (epoch: number): boolean => {
    const isNew = epoch !== epochShown;
    if (epochShown === 0 && epoch > 1) note(`going on after epoch ${epoch - 1}, from ${options.checkpoint}`);
    epochShown = epoch;
    return isNew;
  };
  const fitOptions = given({
    preset: options.preset,
    epochs: options.epochs,
    batchSize: options.batchSize,
    learningRate: options.learningRate,
    momentum: options.momentum,
    weightDecay: options.weightDecay,
    nesterov: options.nesterov,
    schedule: options.schedule,
    milestones: options.milestones,
    gamma: options.gamma,
    augmentation: options.augmentation,
    shuffle: options.shuffle === false ? false : undefined,
    precision: options.precision,
    seed: options.seed,
    validation,
    checkpoint: options.checkpoint,
    checkpointEvery: options.checkpointEvery,
    resume: options.resume,
    signal,
    onBatch: ({ epoch, batch, batches, loss, imagesPerSecond }) => {
      if (show(epoch)) progress.start(`epoch ${epoch}`, batches as number); // a data set's number is known
      progress.update(batch, `loss ${loss.toFixed(3)}, ${imagesPerSecond.toFixed(0)} images/s`);
    },
    onEpoch: async (report) => {
      show(report.epoch);
      progress.stop();
      history.push(report);
      if (!options.json) await output.print(row(report));
    },
  } satisfies Partial<FitOptions>) as FitOptions;
  const reports = await model.fit(images, fitOptions);
  await model.save(options.out);
  const skippedList = await session.skipped?.writeBeside(options.out);
  const seconds = reports.reduce((sum, report) => sum + report.seconds, 0);
  if (options.json) {
    await output.json({
      model: options.out,
      data: images.name,
      images: images.length,
      classNames: images.classNames,
      architecture: model.architecture,
      preset: model.preset,
      skipped: session.skipped?.listed,
      precision: reports.at(-1)?.precision,
      seconds,
      epochs: reports,
    });
  } else {
    const skipped = skippedText(session.skipped?.failures.length ?? 0, skippedList);
    if (skipped !== undefined) note(`skipped ${skipped}`);
    const count = reports.length === 1 ? "1 epoch" : `${reports.length} epochs`;
    await output.print(
      `${visible(options.out)}: written after ${count} in ${reports.at(-1)?.precision} (${seconds.toFixed(1)} s of training)`,
    );
  }
  model.dispose();
}

function row({ epoch, loss, accuracy, validationAccuracy, seconds }: EpochReport): string {
  const validation = validationAccuracy === undefined ? "" : `  ${share(validationAccuracy).padEnd(10)}`;
  return `${String(epoch).padStart(5)}  ${loss.toFixed(5).padEnd(8)}  ${share(accuracy).padEnd(8)}${validation}  ${seconds.toFixed(1).padStart(7)}`;
}
