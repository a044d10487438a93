// Trains a network: prepares a run, runs it natively, reports and saves its epochs, and resumes it from a checkpoint.

import { createHash } from "node:crypto";
import { fail } from "../../core/checks";
import { LibtorchOodError } from "../../core/errors";
import { Scope } from "../../core/scope";
import { dataHash } from "../../data/data-hash";
import { variesPictures } from "../../data/augmentation";
import { Dataset, requireDataset } from "../../data/dataset";
import { checkNormalization, type Normalization } from "../../data/normalization";
import { imageRows, SeenInputs } from "../../data/seen-inputs";
import { identityOf } from "../../data/sources/identity";
import { isSource, type ImageSource } from "../../data/sources/source";
import { requireWritable } from "../../formats/writable";
import type { ImageGeometry } from "../../images/geometry";
import { abortError, CallbackGuard, runNative } from "../../native/call";
import { resolvePrecision, warnIfSlow } from "../../native/precision";
import type {
  NativeEpochEvent,
  NativeEpochSums,
  NativeFitOptions,
  NativeResNet,
  NativeSnapshotEvent,
  NativeTrainingData,
} from "../../native/surface";
import { Tensor } from "../../native/tensor";
import { presets, type PresetRecord } from "../../protocols/preset";
import type { Architecture } from "./architecture";
import { BatchFeeder } from "./batch-feeder";
import { CheckpointWriter } from "./checkpoint-writer";
import { resolveFitOptions, type EpochReport, type FitOptions, type ResolvedFitOptions, type TrainingRecipe } from "./fit-options";
import { datasetTensor, labelsTensor } from "../images";
import { openModelFile, type ModelDescription, type NamedTensor } from "./model-file";
import { parametersOf } from "./tensor-shapes";
import type { TrainingRecord } from "./training-record";

/** The part of a network that a training run reads and changes. */
export interface FittedNetwork {
  /** Outlives the disposal of the network. */
  readonly handle: NativeResNet;
  readonly architecture: Architecture;
  readonly device: string;
  readonly dtype: "float32" | "float64";
  readonly normalization: Normalization | undefined;
  /** What pictures of a source become. */
  readonly input: ImageGeometry;
  trainedOn(): SeenInputs;
  /** The network's description in a file, as if it had been trained on `learned`. */
  describe(normalization: Normalization, learned: LearnedClasses): ModelDescription;
  /** Takes over the weights of a checkpoint. */
  loadState(path: string, state: readonly NamedTensor[]): Promise<void>;
  /** Takes over what the network will have been trained on; once nothing can be refused any more. */
  adopt(trainedOn: SeenInputs, normalization: Normalization, learned: LearnedClasses): void;
}

/** The names of the classes that a run has learned. */
export type LearnedClasses = Pick<ImageSource, "classNames">;

/** A training run before its first epoch: checked options, split data, and the state of the checkpoint. */
interface PreparedFit {
  options: ResolvedFitOptions;
  training: ImageSource;
  validation: ImageSource | undefined;
  normalization: Normalization;
  recipe: TrainingRecipe;
  /** Reports of the epochs that are done, those of the checkpoint first. */
  history: EpochReport[];
  momentum: NamedTensor[];
  /** What is done of the epoch that the run begins in. */
  start: NativeEpochSums;
  recordOf(epochsDone: number, epochSums?: NativeEpochSums): TrainingRecord;
  describe(): ModelDescription;
  /** Takes over what the network will have been trained on; once nothing can be refused any more. */
  adopt(): void;
}

/** Trains a network; `ResNet.fit` documents it. */
export async function fitNetwork(network: FittedNetwork, train: ImageSource, options: FitOptions): Promise<EpochReport[]> {
  const prepared = await prepareFit(network, train, options);
  return Scope.run(async (scope) => {
    scope.ownAll(prepared.momentum.map(({ tensor }) => tensor));
    if (prepared.history.length >= prepared.options.epochs) prepared.adopt();
    else await runFit(network, prepared, scope);
    return prepared.history;
  });
}

async function prepareFit(network: FittedNetwork, train: ImageSource, options: FitOptions): Promise<PreparedFit> {
  const resolved = resolveFitOptions(options, network.architecture.depth);
  requireFrozen(resolved.recipe.frozen, network.architecture);
  requireImages(train, "train");
  const [training, validation] = splitValidation(train, resolved);
  if (training.length === undefined && resolved.recipe.schedule === "cosine") {
    throw new LibtorchOodError(
      "ERR_OPTION",
      'schedule: expected "milestones" for a source of unknown length, found "cosine", which needs the number of steps',
    );
  }
  const own = train instanceof Dataset ? (presetNormalization(resolved.preset, train) ?? train.normalization) : undefined;
  const normalization = network.normalization ?? own;
  if (normalization === undefined) {
    throw new LibtorchOodError(
      "ERR_OPTION",
      "normalization: neither the model nor the training set has one; computeNormalization(train) gives it",
    );
  }
  const checked = checkNormalization(normalization, network.architecture.inChannels);
  const { signal, checkpoint } = resolved;
  if (signal?.aborted) throw abortError(signal);
  if (checkpoint !== undefined) await requireWritable(checkpoint);
  const hash = checkpoint === undefined ? "" : await imagesHash([training, validation]);
  const resumed =
    resolved.resume && checkpoint !== undefined ? await resume(network, checkpoint, resolved, hash, normalization) : undefined;
  const precision = resumed?.record.recipe.precision ?? resolvePrecision(resolved.precision, network.device, network.dtype);
  warnIfSlow(precision, network.device);
  const recipe = { ...resolved.recipe, precision };
  const before = resumed?.trainedOn ?? network.trainedOn();
  const trainedOn = training instanceof Dataset ? before.join(await SeenInputs.of(imageRows(training))) : before;
  const history: EpochReport[] = resumed ? [...resumed.record.history] : [];
  return {
    options: resolved,
    training,
    validation,
    normalization,
    recipe,
    history,
    momentum: resumed?.momentum ?? [],
    start: resumed?.record.epochSums ?? { batch: 0, seen: 0, correct: 0, loss: 0 },
    recordOf: (epochsDone, epochSums) => {
      return { epochsDone, epochs: resolved.epochs, recipe, ...(epochSums && { epochSums }), dataHash: hash, history: [...history] };
    },
    describe: () => network.describe(normalization, train),
    adopt: () => network.adopt(trainedOn, checked, train),
  };
}

/** Runs the training natively; the scope owns what it reads. */
async function runFit(network: FittedNetwork, prepared: PreparedFit, scope: Scope): Promise<void> {
  const { options } = prepared;
  const { training, validation, feeder } = await dataOf(network, prepared, scope);
  let guard: CallbackGuard | undefined;
  let writer: CheckpointWriter | undefined;
  let fed: Promise<void> | undefined;
  try {
    await runNative(options.signal, async (control) => {
      guard = new CallbackGuard(() => control.cancel());
      const callbacks = guard;
      if (options.checkpoint !== undefined) writer = new CheckpointWriter(options.checkpoint, (error) => callbacks.fail(error));
      const onBatch = options.onBatch && guard.wrap(options.onBatch);
      const onEpoch = options.onEpoch && guard.wrap(options.onEpoch);
      const call = network.handle.fit(control, nativeOptions(prepared, onEpoch !== undefined), training, validation, (event) => {
        switch (event.type) {
          case "taken":
            feeder?.taken();
            return;
          case "wanted":
            feeder?.wanted(() => control.resume());
            return;
          case "snapshot":
            addSnapshot(event, prepared, writer);
            return;
          case "batch": {
            const { epoch, batch, batches, loss, imagesPerSecond } = event;
            void onBatch?.({ epoch, batch, batches, loss, imagesPerSecond });
            return;
          }
          case "epoch": {
            const report = reportOf(network.dtype, event, prepared, writer);
            if (onEpoch === undefined) return;
            const promised = onEpoch({ ...report });
            if (promised === undefined) control.resume();
            else void promised.then(() => control.resume());
          }
        }
      });
      prepared.adopt();
      fed = feeder?.run().catch((error: unknown) => callbacks.fail(error));
      await call;
    });
  } catch (error) {
    feeder?.stop();
    await fed;
    await writer?.finish();
    guard?.rethrow();
    throw error;
  }
  await fed;
  await writer?.finish();
  await guard?.finish(options.signal);
}

/** What the run learns from and is validated on: sets in memory, and a feeder for sources, which pictures that vary are too. */
async function dataOf(
  { architecture, input }: FittedNetwork,
  { options, recipe, training, validation, history, start }: PreparedFit,
  scope: Scope,
) {
  const inMemory = async (data: Dataset, classNames?: readonly string[]): Promise<NativeTrainingData> => {
    const images = scope.own(await datasetTensor(data));
    return { images, labels: scope.own(labelsTensor(data, classNames)) };
  };
  const { cropPadding, horizontalFlip, resizedCrop, colorJitter, batchSize, seed, shuffle } = recipe;
  const augmentation = { cropPadding, horizontalFlip, resizedCrop, colorJitter };
  const streamed = training instanceof Dataset && !variesPictures(augmentation) ? undefined : training;
  const validated = validation instanceof Dataset ? undefined : validation;
  const { onError, maxPixels, epochs } = options;
  const feeder =
    streamed === undefined && validated === undefined
      ? undefined
      : new BatchFeeder({
          ...{ training: streamed, validation: validated, input, batchSize, augmentation, seed, shuffle, onError, maxPixels, epochs },
          ...{ classNames: training.classNames, numClasses: architecture.numClasses, start: { epoch: history.length, batch: start.batch } },
        });
  const fromQueue = (source: ImageSource): NativeTrainingData => {
    const { queue } = feeder as BatchFeeder;
    return { queue, batches: (feeder as BatchFeeder).batchesOf(source) };
  };
  return {
    training: streamed === undefined ? await inMemory(training as Dataset) : fromQueue(streamed),
    validation: validated === undefined ? validation && (await inMemory(validation as Dataset, training.classNames)) : fromQueue(validated),
    feeder,
  };
}

function nativeOptions(
  { options, recipe, normalization, history, start, momentum }: PreparedFit,
  holdAfterEpoch: boolean,
): NativeFitOptions {
  const { epochs, checkpoint, checkpointEvery } = options;
  const writes = checkpoint !== undefined;
  return {
    ...recipe,
    ...ratesOf(recipe),
    ...{ epochs, normalization, start, holdAfterEpoch },
    snapshotEvery: writes ? checkpointEvery.epochs : 0,
    snapshotEveryBatches: writes ? checkpointEvery.batches : 0,
    startEpoch: history.length,
    momentumBuffers: momentum.map(({ name, tensor }) => ({ name, tensor: Tensor.handle(tensor, name) })),
  };
}

function addSnapshot({ epoch, sums, state, momentumBuffers }: NativeSnapshotEvent, prepared: PreparedFit, writer?: CheckpointWriter): void {
  const description = { ...prepared.describe(), training: prepared.recordOf(epoch, sums) };
  writer?.add({ description, state, momentum: momentumBuffers });
}

/** Takes an epoch's numbers into the history, and its weights, where they came along, into the checkpoint. */
function reportOf(
  dtype: "float32" | "float64",
  event: NativeEpochEvent,
  prepared: PreparedFit,
  writer: CheckpointWriter | undefined,
): EpochReport {
  const { epoch, loss, accuracy, validationAccuracy, learningRate, imagesPerSecond, seconds } = event;
  const { options, recipe, history } = prepared;
  const preset = options.preset && { preset: options.preset };
  const precision = recipe.precision === "float32" ? dtype : recipe.precision;
  const report = { epoch, loss, accuracy, validationAccuracy, learningRate, imagesPerSecond, seconds, precision, ...preset };
  history.push(report);
  if (writer && event.state && event.momentumBuffers) {
    const description = { ...prepared.describe(), training: prepared.recordOf(epoch) };
    writer.add({ description, state: event.state, momentum: event.momentumBuffers });
  }
  return report;
}

async function resume(network: FittedNetwork, path: string, options: ResolvedFitOptions, hash: string, normalization: Normalization) {
  let file;
  try {
    file = await openModelFile(path);
  } catch (error) {
    if ((error as { cause?: { code?: unknown } }).cause?.code === "ENOENT") return undefined; // nothing to resume: a fresh start
    throw error;
  }
  try {
    const { training: record, trainedOn } = file.description;
    if (record === undefined) throw new LibtorchOodError("ERR_OPTION", `${path}: a model without a training record cannot be resumed`);
    const differences = [
      ...differing("architecture", file.description.architecture, network.architecture),
      ...differing("option", record.recipe, {
        ...options.recipe,
        precision: options.precision === "auto" ? record.recipe.precision : options.precision,
      }),
      ...differing("normalization", file.description.normalization ?? {}, normalization),
      ...differing("weights", { dtype: file.dtype }, { dtype: network.dtype }),
      ...(record.dataHash === hash ? [] : ["the training or validation data"]),
      ...(options.recipe.schedule === "cosine" ? differing("option", { epochs: record.epochs }, { epochs: options.epochs }) : []),
    ];
    if (differences.length > 0) {
      throw new LibtorchOodError("ERR_OPTION", `${path}: the checkpoint is of another run; it differs in ${differences.join(", ")}`);
    }
    return await Scope.run(async (scope) => {
      const state = await file.state();
      scope.ownAll(state.map(({ tensor }) => tensor));
      const momentum = await file.momentum();
      scope.ownAll(momentum.map(({ tensor }) => tensor));
      await network.loadState(path, state);
      for (const { tensor } of momentum) scope.release(tensor);
      return { record, momentum, trainedOn };
    });
  } finally {
    await file.close();
  }
}

/** @throws ERR_OPTION naming one that is no parameter or module of the network, and where none is left to train */
function requireFrozen(frozen: readonly string[], architecture: Architecture): void {
  if (frozen.length === 0) return;
  const parameters = parametersOf(architecture);
  const isPart = (name: string, part: string) => name === part || name.startsWith(`${part}.`);
  for (const part of frozen) {
    if (parameters.some((name) => isPart(name, part))) continue;
    fail("ERR_OPTION", "frozen", 'names of parameters or modules of the network, such as "conv1", "layer1" or "layer2.0.bn1"', part);
  }
  if (parameters.every((name) => frozen.some((part) => isPart(name, part)))) {
    fail("ERR_OPTION", "frozen", "a parameter left that is trained", frozen.join(", "));
  }
}

function ratesOf({ learningRate }: TrainingRecipe): { learningRate: number; headLearningRate: number } {
  const { head, body } = typeof learningRate === "number" ? { head: learningRate, body: learningRate } : learningRate;
  return { learningRate: body, headLearningRate: head };
}

function splitValidation(train: ImageSource, { validation, recipe }: ResolvedFitOptions): [ImageSource, ImageSource | undefined] {
  if (validation === undefined) return [train, undefined];
  if (typeof validation !== "number") return [train, requireImages(validation, "validation")];
  if (!(train instanceof Dataset)) {
    throw new LibtorchOodError("ERR_OPTION", `validation: expected a source of its own beside a source, found a share, ${validation}`);
  }
  const split = train.split(validation, recipe.seed);
  return [split.train, split.validation];
}

/** @throws ERR_OPTION for anything but a Dataset or a source; ERR_SHAPE for a Dataset whose arrays are gone */
function requireImages(value: unknown, name: string): ImageSource {
  return value instanceof Dataset || !isSource(value) ? requireDataset(value, name) : value;
}

/** Tells a resumed run that its images are the same: the SHA-256 of sets in memory, and of what sources say of themselves. */
async function imagesHash(all: readonly (ImageSource | undefined)[]): Promise<string> {
  if (all.every((images): images is Dataset | undefined => images === undefined || images instanceof Dataset)) return dataHash(all);
  const texts: string[] = [];
  for (const images of all) {
    texts.push(images === undefined ? "none" : images instanceof Dataset ? await dataHash([images]) : await identityOf(images));
  }
  return createHash("sha256").update(JSON.stringify(texts)).digest("hex");
}

/** Constants of a data set that the preset was published with; undefined for others. */
function presetNormalization(preset: PresetRecord | undefined, { set }: Dataset): Normalization | undefined {
  return preset && presets[preset.name].normalizations[set];
}

function differing(kind: string, saved: object, given: object): string[] {
  const a = saved as Record<string, unknown>;
  const b = given as Record<string, unknown>;
  return Object.keys(b)
    .filter((key) => JSON.stringify(a[key]) !== JSON.stringify(b[key]))
    .map((key) => `${kind} ${key} (${short(a[key])} there, ${short(b[key])} here)`);
}

/** JSON, which the checkpoint's side was parsed from, as far as a message has room for it. */
function short(value: unknown): string {
  const text = JSON.stringify(value) ?? "undefined";
  return text.length > 100 ? `${text.slice(0, 97)}...` : text;
}
