// ResNet: an L2-normalised, spectrally normalised residual network that is trained and read natively.

import { boolean, fail, integer, oneOf, optionalFunction, optionalSignal, optionsObject, string, typedArrayName } from "../../core/checks";
import { checkClassNames } from "../../core/class-names";
import { Dataset } from "../../data/dataset";
import { checkNormalization, type Normalization } from "../../data/normalization";
import { LibtorchOodError } from "../../core/errors";
import { shortList } from "../../core/lists";
import { modelOutputs, type ModelOutput } from "../../core/model-outputs";
import {
  native,
  type NativeEpochEvent,
  type NativeExtractor,
  type NativeNormalization,
  type NativeResNet,
  type NativeTensor,
} from "../../native/surface";
import { abortError, calledFrom, CallbackGuard, callNative, given, runNative } from "../../native/call";
import { architectureKeys, resolveArchitecture, toNativeArchitecture, type Architecture, type ArchitectureOptions } from "./architecture";
import { CheckpointWriter } from "./checkpoint-writer";
import { requireMemory, warnIfLarge } from "./cost";
import { resolveFitOptions, type EpochReport, type FitOptions, type ResolvedFitOptions, type TrainingRecipe } from "./fit-options";
import { requireWritable } from "../../formats/writable";
import { imageResizes, type ImageResize, type ImageTarget } from "../../images/decode";
import { checkOnError, type ImageFailure, type OnError } from "../../images/failure";
import { checkMaxPixels } from "../../images/image";
import { checkPrecision, resolvePrecision, warnIfSlow, type ComputePrecision, type Precision } from "../../native/precision";
import { presetOf, presets, withPreset, type PresetName, type PresetRecord } from "../../protocols/preset";
import { datasetTensor, imagesTensor, labelsTensor, type Images, type NativeImages } from "./images";
import { dataHash } from "../../data/data-hash";
import { requireDataset } from "../../data/dataset";
import {
  describeModelFile,
  openModelFile,
  requireImageSize,
  requireSizes,
  writeModelFile,
  type ModelDescription,
  type ModelFileSummary,
  type NamedTensor,
} from "./model-file";
import type { TrainingRecord } from "./training-record";
import { ReadAhead } from "./read-ahead";
import { fittingState, requireVariances, takeWeights } from "./weights";
import type { Overlap } from "../../core/overlap";
import { imageRows, SeenInputs } from "../../data/seen-inputs";
import { Tensor, toTensor, type ArrayWithShape } from "../../native/tensor";

export type { Architecture, ArchitectureOptions, SpectralNormOptions } from "./architecture";
export type { BatchReport, EpochReport, FitOptions, TrainingOptions } from "./fit-options";
export type { ImageResize } from "../../images/decode";
export type { ImageFailure, OnError } from "../../images/failure";
export type { Image, ImageDataLike } from "../../images/image";
export type { Images } from "./images";
export type { ModelFileSummary } from "./model-file";

/** Options of {@link ResNet.create}: the architecture and where and how its weights live. */
export interface ResNetOptions extends ArchitectureOptions {
  /** Of the initial weights (PyTorch's default distributions). Default 0. */
  seed?: number;
  /** "cpu" (default), "cuda" or "cuda:N". */
  device?: string;
  /** Of weights and head; "float64" is for exact comparisons. Default "float32". */
  dtype?: "float32" | "float64";
  /** Of the input images. Default: the training set's own, taken over by the first `fit`. */
  normalization?: Normalization;
  /** Gives the switches of the architecture (not depth, size or classes); other options override it. */
  preset?: PresetName;
  /** Ends the warm-up of the spectral norm (`warmupIterations`), which alone takes long. */
  signal?: AbortSignal;
}

/** What extraction gives unless told otherwise. */
export type DefaultOutputs = readonly ["features", "logits"];

export interface ExtractOptions<Outputs extends readonly ModelOutput[] = DefaultOutputs> {
  /**
   * What to compute, all in one pass: "features" as the last layer sees them (divided by their norm where `l2Normalize` is on), "rawFeatures" as
   * pooled, "logits". Default `["features", "logits"]`.
   */
  outputs?: Outputs;
  /** Images per forward pass. Default 64. */
  batchSize?: number;
  /**
   * Of the convolutions; features and logits are float32 all the same. "auto" is bfloat16 where the processor has units for it or on CUDA, else
   * float32. Default "float32" (a float64 network is always read in float64).
   */
  precision?: Precision;
  /** Of files and RGBA pixels that have not the network's size, antialiased (a Dataset or tensor must have it). Default "center-crop". */
  resize?: ImageResize;
  /** What becomes of images that cannot be decoded: see {@link OnError}. Default: "throw". */
  onError?: OnError;
  /**
   * Pixels that an image file may have. Memory and time grow with them. Default: 100 million, and 250 million for a baseline JPEG, as cameras write
   * them: it is decoded row by row, so that only time grows.
   */
  maxPixels?: number;
  signal?: AbortSignal;
}

export interface ExtractAllOptions<Outputs extends readonly ModelOutput[] = DefaultOutputs> extends ExtractOptions<Outputs> {
  /** Images done, of all. The call ends when the promises that it returns have settled, or by an abort; it may end the call by throwing. */
  onProgress?: (done: number, total: number) => void | Promise<void>;
}

/**
 * What {@link ResNet.extract} gives: a Tensor for each output that was asked for, float32 (float64 for a float64 network), and what is known of the
 * images. `features` and `rawFeatures` are [N, d], `logits` [N, C].
 *
 * A network that does not normalise has one matrix of features: where either name is asked for, both are there, as the same Tensor.
 */
export type Extraction<Outputs extends readonly ModelOutput[] = DefaultOutputs> = ExtractedImages &
  Record<Stated<Outputs>, Tensor> &
  Partial<Record<Exclude<ModelOutput, Stated<Outputs>>, Tensor>>;

/** The names in a list that is written out; of a list that is known only at run time, none can be relied on. */
type Stated<Outputs extends readonly ModelOutput[]> = number extends Outputs["length"] ? never : Outputs[number];

/** What an {@link Extraction} says of its images. */
export interface ExtractedImages {
  /** [N]: the data set's labels; empty where none were given. */
  labels: Int32Array;
  /** Images that are not among the N rows, with `onError`; the rows keep the order of the others. In a stream `index` counts from its first image. */
  skipped: readonly ImageFailure[];
  /** What the convolutions were computed in. */
  precision: ComputePrecision | "float64";
}

/** One chunk of {@link ResNet.extractStream}: an {@link Extraction} and the number of rows before it. */
export type ExtractionChunk<Outputs extends readonly ModelOutput[] = DefaultOutputs> = Extraction<Outputs> & { offset: number };

/** What {@link ResNet.extractStream} reads: images, with labels where there are any. */
export type ImageChunk = Images | { images: Exclude<Images, Dataset>; labels: Int32Array };

const creationKeys = ["seed", "device", "dtype", "normalization", "preset", "signal"] as const;
/** A layer that makes logits: features · weightᵀ + bias. */
export interface LinearHead {
  /** [C, d] */
  weight: Tensor;
  /** [C] */
  bias: Tensor;
}

/** What a training run begins with. */
interface PreparedFit {
  options: ResolvedFitOptions;
  training: Dataset;
  validation: Dataset | undefined;
  normalization: Normalization;
  recipe: TrainingRecipe;
  /** Reports of the epochs that are done, those of the checkpoint first. */
  history: EpochReport[];
  momentum: NamedTensor[];
  recordOf(epochsDone: number): TrainingRecord;
  describe(): ModelDescription;
  /** Takes over what the network will have been trained on; once nothing can be refused any more. */
  adopt(): void;
}

const extractKeys = ["outputs", "batchSize", "precision", "resize", "onError", "maxPixels", "signal"] as const;

/**
 * A residual network in native memory. Made by {@link ResNet.create} or {@link ResNet.load}; freed by {@link dispose} or
 * when it is collected.
 *
 * @example
 * const model = await ResNet.create({ numClasses: 10, inChannels: 1, imageSize: 28, seed: 1 });
 * await model.fit(train, { epochs: 3, milestones: [2] });
 * const { features, logits, labels } = await model.extract(test);
 */
export class ResNet {
  readonly architecture: Architecture;
  readonly device: string;
  readonly dtype: "float32" | "float64";
  /** The preset that the architecture came from; undefined without one. */
  readonly preset: PresetRecord | undefined;
  readonly #native: NativeResNet;
  #classNames: readonly string[] | undefined;
  #normalization: Normalization | undefined;
  #trainedOn = SeenInputs.none;
  #disposed = false;

  private constructor(
    handle: NativeResNet,
    architecture: Architecture,
    device: string,
    dtype: "float32" | "float64",
    preset: PresetRecord | undefined,
  ) {
    this.preset = preset;
    this.#native = given(handle);
    this.architecture = architecture;
    this.device = device;
    this.dtype = dtype;
  }

  /**
   * Creates a network with random weights.
   *
   * @throws ERR_OPTION, ERR_RANGE, ERR_DEVICE where the device is unavailable, ERR_OUT_OF_MEMORY also for a network that the machine has no room
   *   for, ERR_ABORTED, ERR_LIBTORCH_NOT_FOUND
   */
  static async create(options: ResNetOptions): Promise<ResNet> {
    const { preset: name, ...stated } = optionsObject(options, "options", [...architectureKeys, ...creationKeys]);
    const preset = presetOf(name);
    const { options: checked, record } = withPreset(preset, preset?.architecture, stated);
    warnIfLarge(resolveArchitecture(checked));
    return ResNet.#create(checked, record, true);
  }

  /** @param warm - false where weights follow, the vectors of the spectral norm among them: a warm-up would be for nothing */
  static async #create(checked: ResNetOptions, preset: PresetRecord | undefined, warm: boolean): Promise<ResNet> {
    const architecture = resolveArchitecture(checked);
    const device = string(checked.device ?? "cpu", "device");
    const dtype = oneOf(checked.dtype ?? "float32", "dtype", ["float32", "float64"] as const);
    const seed = integer(checked.seed ?? 0, "seed", 0);
    const signal = optionalSignal(checked.signal, "signal");
    requireMemory(architecture, dtype);
    const described = toNativeArchitecture(architecture);
    if (!warm) described.warmupIterations = 0;
    const handle = await runNative(signal, (control) => native().ResNet.create(control, described, { device, dtype, seed }));
    const model = new ResNet(handle, architecture, device, dtype, preset);
    if (checked.normalization !== undefined) model.normalization = checked.normalization;
    return model;
  }

  /**
   * Reads a network from a file that {@link save} or a checkpoint wrote.
   *
   * @param options.maxImageSize - refuses a network for larger images, which a small file may state and which cost much. Default: none is refused
   * @throws ERR_CORRUPT_FILE, ERR_IO, ERR_RANGE for a network of larger images, and what {@link create} throws
   */
  static load(path: string, options?: { device?: string; dtype?: "float32" | "float64"; maxImageSize?: number }): Promise<ResNet> {
    return calledFrom(ResNet.load, () => ResNet.#load(path, options));
  }

  /**
   * What the file of a network or a checkpoint says of it: architecture, normalisation, class names, epochs done. No weight is read, libtorch is not needed.
   *
   * @throws ERR_CORRUPT_FILE, ERR_IO
   * @example
   * const { architecture, epochsDone } = await ResNet.describe("checkpoint.safetensors");
   */
  static describe(path: string): Promise<ModelFileSummary> {
    return calledFrom(ResNet.describe, () => describeModelFile(path));
  }

  static async #load(path: string, options: Parameters<typeof ResNet.load>[1]): Promise<ResNet> {
    const { maxImageSize = Infinity, ...checked } = optionsObject(options, "options", ["device", "dtype", "maxImageSize"]);
    if (maxImageSize !== Infinity) integer(maxImageSize, "maxImageSize", 1);
    const file = await openModelFile(path);
    try {
      const { architecture, normalization, classNames, preset, trainedOn } = file.description;
      requireImageSize(path, architecture, maxImageSize);
      requireSizes(path, architecture, file.shapeOf);
      const state = await file.state();
      const model = await ResNet.#create({ ...architecture, ...checked, normalization }, preset, false);
      try {
        await model.#loadStateOfFile(path, state);
      } catch (error) {
        model.dispose();
        throw error;
      } finally {
        for (const { tensor } of state) tensor.dispose();
      }
      model.classNames = classNames;
      model.#trainedOn = trainedOn;
      return model;
    } finally {
      await file.close();
    }
  }

  /** @internal A network of its own with the same weights. */
  async copy(): Promise<ResNet> {
    const handle = await runNative(undefined, (control) => this.#native.copy(control));
    const copy = new ResNet(handle, this.architecture, this.device, this.dtype, this.preset);
    copy.#normalization = this.#normalization;
    copy.#classNames = this.#classNames;
    copy.#trainedOn = this.#trainedOn;
    return copy;
  }

  /** @internal From what a file of which a network is a part says of it. @throws ERR_CORRUPT_FILE and what {@link create} throws */
  static async restore(
    path: string,
    { architecture, normalization, classNames, preset, trainedOn }: ModelDescription,
    state: readonly { name: string; tensor: NativeTensor }[],
    device: string,
  ): Promise<ResNet> {
    const dtype = state.find(({ name }) => name === "fc.weight")?.tensor.dtype === "float64" ? "float64" : "float32";
    const model = await ResNet.#create({ ...architecture, device, dtype, normalization }, preset, false);
    try {
      await model.#loadStateOfFile(
        path,
        state.map(({ name, tensor }) => ({ name, tensor: new Tensor(tensor) })),
      );
    } catch (error) {
      model.dispose();
      throw error;
    }
    model.classNames = classNames;
    model.#trainedOn = trainedOn;
    return model;
  }

  /** @internal What a file says of this network. */
  get description(): ModelDescription {
    return this.#describe(this.#normalization);
  }

  /** @internal The images of every {@link fit}, also of those before the network was saved. */
  get trainedOn(): SeenInputs {
    return this.#trainedOn;
  }

  /**
   * Which of these images the network has been trained on, byte by byte the same: an evaluation on them would flatter it. The record goes with the
   * network into its files. Weights that come from elsewhere ({@link setWeights}) bring none.
   *
   * @throws ERR_OPTION
   * @example
   * const { indices, checked } = await model.overlap(test); // [] of 10,000
   */
  async overlap(images: Dataset): Promise<Overlap> {
    callNative(() => this.#native.training); // throws where this has been disposed of
    return this.#trainedOn.among(imageRows(requireDataset(images, "images")));
  }

  /** Length d of a feature vector. */
  get featureDim(): number {
    return this.architecture.featureDim;
  }

  /** True while a {@link fit} is running. */
  get training(): boolean {
    return callNative(() => this.#native.training);
  }

  /**
   * Names of the classes, from the data set that the network was first trained on; undefined where that has more or fewer classes.
   *
   * @throws ERR_OPTION for anything but text, or a name twice; ERR_SHAPE for another number than there are classes
   */
  get classNames(): readonly string[] | undefined {
    return this.#classNames;
  }

  set classNames(value: readonly string[] | undefined) {
    this.#classNames = value === undefined ? undefined : Object.freeze(checkClassNames(value, this.architecture.numClasses));
  }

  /** Constants that the input images are normalised with; undefined before any are known. */
  get normalization(): Normalization | undefined {
    return this.#normalization;
  }

  set normalization(value: Normalization | undefined) {
    this.#normalization = value && checkNormalization(value, this.architecture.inChannels);
  }

  /**
   * Trains by SGD on cross entropy, or on the neural-collapse loss; the loop, augmentation included, is native and gives way to
   * other calls between batches. Calling {@link extract} meanwhile reads the weights as they are between two batches; in
   * `onEpoch`, for which the next epoch waits, as they are at the end of the epoch.
   *
   * A network that has been trained, or loaded from a checkpoint, is trained further from its weights, by any recipe: epochs
   * count from 1, learning rate and milestones are those of this call, and momentum starts at zero.
   *
   * With `checkpoint`, a run that was stopped at any moment (also by `kill -9`) continues with `resume: true`; on the CPU,
   * with the same number of threads, it ends with the weights of an uninterrupted run bit for bit.
   * After ERR_ABORTED the network holds the weights of the last finished batch.
   *
   * @returns a report per epoch, resumed ones included
   * @throws ERR_BUSY while another `fit` runs, ERR_SHAPE, ERR_RANGE (labels; batches on which the neural-collapse loss is not defined),
   *   ERR_NON_FINITE when training diverges,
   *   ERR_ABORTED, ERR_IO when a checkpoint cannot be written, ERR_OPTION when the checkpoint is of other options or data,
   *   ERR_OUT_OF_MEMORY; and what `onEpoch` or `onBatch` throws
   */
  fit(train: Dataset, options: FitOptions): Promise<EpochReport[]> {
    return calledFrom(this.fit, () => this.#fit(train, options));
  }

  async #fit(train: Dataset, options: FitOptions): Promise<EpochReport[]> {
    return await this.#retained(async (network) => {
      const prepared = await this.#prepareFit(network, train, options);
      const held: { dispose(): void }[] = prepared.momentum.map(({ tensor }) => tensor);
      try {
        if (prepared.history.length >= prepared.options.epochs) prepared.adopt();
        else await this.#runFit(network, prepared, held);
        return prepared.history;
      } finally {
        for (const tensor of held) tensor.dispose();
      }
    });
  }

  async #prepareFit(network: NativeResNet, train: Dataset, options: FitOptions): Promise<PreparedFit> {
    const resolved = resolveFitOptions(options, this.architecture.depth);
    requireDataset(train, "train");
    const [training, validation] = splitValidation(train, resolved);
    const normalization = this.#normalization ?? presetNormalization(resolved.preset, train) ?? train.normalization;
    if (normalization === undefined) {
      throw new LibtorchOodError(
        "ERR_OPTION",
        "normalization: neither the model nor the training set has one; computeNormalization(train) gives it",
      );
    }
    const checked = checkNormalization(normalization, this.architecture.inChannels);
    const { signal, checkpoint } = resolved;
    if (signal?.aborted) throw abortError(signal);
    if (checkpoint !== undefined) await requireWritable(checkpoint);
    const hash = checkpoint === undefined ? "" : await dataHash([training, validation]);
    const resumed =
      resolved.resume && checkpoint !== undefined ? await this.#resume(network, checkpoint, resolved, hash, normalization) : undefined;
    const precision = resumed?.record.recipe.precision ?? resolvePrecision(resolved.precision, this.device, this.dtype);
    warnIfSlow(precision, this.device);
    const recipe = { ...resolved.recipe, precision };
    const trainedOn = (resumed?.trainedOn ?? this.#trainedOn).join(await SeenInputs.of(imageRows(training)));
    const history: EpochReport[] = resumed ? [...resumed.record.history] : [];
    return {
      options: resolved,
      training,
      validation,
      normalization,
      recipe,
      history,
      momentum: resumed?.momentum ?? [],
      recordOf: (epochsDone) => ({ epochsDone, epochs: resolved.epochs, recipe, dataHash: hash, history: [...history] }),
      describe: () => this.#describe(normalization, train),
      adopt: () => {
        this.#trainedOn = trainedOn;
        this.#normalization = checked; // private fields: this must not fail once the native call has begun, whatever was done to the object
        this.#classNames ??= this.#namesOf(train);
      },
    };
  }

  /** The native run; what it reads is put into `held`, for the caller to dispose of. */
  async #runFit(network: NativeResNet, prepared: PreparedFit, held: { dispose(): void }[]): Promise<void> {
    const { options, training, validation } = prepared;
    const images = await datasetTensor(training);
    held.push(images);
    const labels = labelsTensor(training);
    held.push(labels);
    const validationImages = validation && (await datasetTensor(validation));
    const validationLabels = validation && labelsTensor(validation, training.classNames);
    if (validationImages && validationLabels) held.push(validationImages, validationLabels);

    let guard: CallbackGuard | undefined;
    let writer: CheckpointWriter | undefined;
    try {
      await runNative(options.signal, async (control) => {
        guard = new CallbackGuard(() => control.cancel());
        const callbacks = guard;
        if (options.checkpoint !== undefined) writer = new CheckpointWriter(options.checkpoint, (error) => callbacks.fail(error));
        const onBatch = options.onBatch && guard.wrap(options.onBatch);
        const onEpoch = options.onEpoch && guard.wrap(options.onEpoch);
        const call = network.fit(
          control,
          {
            ...prepared.recipe,
            epochs: options.epochs,
            normalization: prepared.normalization,
            snapshotEvery: options.checkpoint === undefined ? 0 : options.checkpointEvery,
            startEpoch: prepared.history.length,
            momentumBuffers: prepared.momentum.map(({ name, tensor }) => ({ name, tensor: Tensor.handle(tensor, name) })),
            holdAfterEpoch: onEpoch !== undefined,
          },
          images,
          labels,
          validationImages,
          validationLabels,
          (event) => {
            if (event.type === "batch") {
              const { epoch, batch, batches, loss, imagesPerSecond } = event;
              void onBatch?.({ epoch, batch, batches, loss, imagesPerSecond });
              return;
            }
            const report = this.#report(event, prepared, writer);
            if (onEpoch === undefined) return;
            const promised = onEpoch({ ...report });
            if (promised === undefined) control.resume();
            else void promised.then(() => control.resume());
          },
        );
        prepared.adopt();
        await call;
      });
    } catch (error) {
      await writer?.finish();
      guard?.rethrow();
      throw error;
    }
    await writer?.finish();
    await guard?.finish(options.signal);
  }

  /** Takes an epoch's numbers into the history, and its weights, where they came along, into the checkpoint. */
  #report(event: NativeEpochEvent, prepared: PreparedFit, writer: CheckpointWriter | undefined): EpochReport {
    const { epoch, loss, accuracy, validationAccuracy, learningRate, imagesPerSecond, seconds } = event;
    const { options, recipe, history } = prepared;
    const preset = options.preset && { preset: options.preset };
    const precision = recipe.precision === "float32" ? this.dtype : recipe.precision;
    const report = { epoch, loss, accuracy, validationAccuracy, learningRate, imagesPerSecond, seconds, precision, ...preset };
    history.push(report);
    if (writer && event.state && event.momentumBuffers) {
      const description = { ...prepared.describe(), training: prepared.recordOf(epoch) };
      writer.add({ description, state: event.state, momentum: event.momentumBuffers });
    }
    return report;
  }

  /**
   * Features and logits of many images, without augmentation, in evaluation mode. The network runs once for all outputs. Batch norm and spectral norm
   * are folded into the convolutions once per call.
   *
   * @param images - a Dataset; [N, C, H, W] as uint8 or as floats in 0 … 1; or one image or several as encoded PNG, JPEG or WebP bytes, paths,
   *   `file:` URLs, Blobs or RGBA `{ data, width, height }`, which are decoded and resized by sharp (an optional peer dependency) off the JavaScript thread
   * @throws ERR_SHAPE, ERR_DTYPE, ERR_NON_FINITE (images, or a network that gives NaN), ERR_OPTION without normalisation constants,
   *   or for an unknown output, one that is named twice or none at all, ERR_ABORTED, ERR_DISPOSED, ERR_OUT_OF_MEMORY; ERR_CORRUPT_FILE, ERR_IO and
   *   ERR_SHARP_NOT_FOUND for images that have to be decoded
   * @example
   * const { features, rawFeatures, logits } = await model.extract(test, { outputs: ["features", "rawFeatures", "logits"] });
   */
  extract<const Outputs extends readonly ModelOutput[] = DefaultOutputs>(
    images: Images,
    options?: ExtractAllOptions<Outputs>,
  ): Promise<Extraction<Outputs>> {
    return calledFrom(this.extract, () => this.#extract(images, options));
  }

  async #extract<Outputs extends readonly ModelOutput[]>(
    images: Images,
    options: ExtractAllOptions<Outputs> | undefined,
  ): Promise<Extraction<Outputs>> {
    const checked = optionsObject(options, "extract options", [...extractKeys, "onProgress"]);
    const onProgress = optionalFunction(checked.onProgress, "onProgress");
    const labels = images instanceof Dataset ? Int32Array.from(requireDataset(images, "images").labels) : new Int32Array(0);
    const input = new Input(images, this.#imageTarget(checked), checkOnError(checked.onError));
    let extractor: BoundExtractor | undefined;
    try {
      extractor = await this.#extractor(checked);
      const { tensor, skipped } = await input.taken;
      const extracted = await extractor.extract(tensor, onProgress);
      return { ...extracted, labels, skipped, precision: extractor.precision } as Extraction<Outputs>;
    } finally {
      extractor?.dispose();
      await input.dispose();
    }
  }

  /**
   * Features of more images than fit in memory: reads chunks, extracts, and awaits `sink` for each, in order. While one
   * chunk is computed the next is read, and no more: memory is bounded by two chunks, a slow sink slows the source.
   * The weights are those at the start of the call.
   *
   * @param source - chunks of images in any form that {@link extract} takes, or `{ images, labels }`
   * @param sink - receives each chunk; its tensors are disposed when the promise it returns settles. An abort waits for that too, so that no sink is at
   *   work any more when the call ends: hand the signal on to what may take long
   * @returns the number of rows, and the images that were skipped
   * @throws what {@link extract} throws, and what source or sink throws (the source is then closed)
   */
  extractStream<const Outputs extends readonly ModelOutput[] = DefaultOutputs>(
    source: AsyncIterable<ImageChunk> | Iterable<ImageChunk>,
    sink: (chunk: ExtractionChunk<Outputs>) => unknown,
    options?: ExtractOptions<Outputs>,
  ): Promise<{ count: number; skipped: ImageFailure[] }> {
    return calledFrom(this.extractStream, () => this.#extractStream(source, sink, options));
  }

  async #extractStream<Outputs extends readonly ModelOutput[]>(
    source: AsyncIterable<ImageChunk> | Iterable<ImageChunk>,
    sink: (chunk: ExtractionChunk<Outputs>) => unknown,
    options: ExtractOptions<Outputs> | undefined,
  ): Promise<{ count: number; skipped: ImageFailure[] }> {
    const checked = optionsObject(options, "extract options", extractKeys);
    if (typeof sink !== "function") fail("ERR_OPTION", "sink", "a function", sink);
    const target = this.#imageTarget(checked);
    const onError = checkOnError(checked.onError);
    const reader = new ReadAhead(source, optionalSignal(checked.signal, "signal"));
    let extractor: BoundExtractor | undefined;
    let count = 0;
    let imagesBefore = 0;
    const all: ImageFailure[] = [];
    try {
      extractor = await this.#extractor(checked);
      for (let next = await reader.next(); !next.done; next = await reader.next()) {
        const { images, labels } = labelled(next.value);
        // Taken before the source runs on: it may use one buffer for all chunks.
        const input = new Input(images, target, inStream(onError, imagesBefore));
        reader.prefetch();
        let extraction;
        let skipped: readonly ImageFailure[];
        try {
          const taken = await input.taken;
          skipped = taken.skipped;
          extraction = await extractor.extract(taken.tensor);
        } finally {
          await input.dispose();
        }
        try {
          const rows = rowsOf(extraction);
          const total = rows + skipped.length;
          if (labels !== undefined && labels.length !== total) {
            throw new LibtorchOodError("ERR_SHAPE", `labels: expected ${total}, one per image, found ${labels.length}`);
          }
          const left = new Set(skipped.map(({ index }) => index));
          const kept = labels === undefined ? new Int32Array(0) : left.size === 0 ? labels : labels.filter((_, i) => !left.has(i));
          const moved = skipped.map((failure) => ({ ...failure, index: failure.index + imagesBefore }));
          for (const failure of moved) all.push({ ...failure });
          const chunk = { ...extraction, labels: kept, skipped: moved, precision: extractor.precision, offset: count };
          await sink(chunk as ExtractionChunk<Outputs>);
          count += rows;
          imagesBefore += total;
        } finally {
          for (const tensor of Object.values(extraction)) tensor.dispose();
        }
      }
      return { count, skipped: all };
    } catch (error) {
      await reader.close();
      throw error;
    } finally {
      extractor?.dispose();
    }
  }

  /**
   * One forward pass over images that are normalised already.
   *
   * @param images - [N, C, H, W], float32 or float64
   * @param options.training - as in training: batch statistics, which also advance the running ones, and a power iteration
   *   of the spectral norm. Default false.
   * @returns `features` [N, d] (normalised where `l2Normalize` is on), `rawFeatures` [N, d], `logits` [N, C], of the network's dtype
   */
  async forward(
    images: Tensor | ArrayWithShape,
    options?: { training?: boolean; signal?: AbortSignal },
  ): Promise<{ features: Tensor; rawFeatures: Tensor; logits: Tensor }> {
    const checked = optionsObject(options, "forward options", ["training", "signal"]);
    const training = boolean(checked.training ?? false, "training");
    const input = Tensor.handle(toTensor(images, "images"), "images");
    const output = await runNative(optionalSignal(checked.signal, "signal"), (control) =>
      this.#native.forward(control, input, { training }),
    );
    return {
      features: new Tensor(output.features),
      rawFeatures: new Tensor(output.rawFeatures),
      logits: new Tensor(output.logits),
    };
  }

  /**
   * The last layer as logits are made: logits = features · weightᵀ + bias. The temperature, by which the network divides its features first, is in it.
   *
   * @returns `weight` [C, d] and `bias` [C], float64
   * @throws ERR_DISPOSED, ERR_OUT_OF_MEMORY
   * @example
   * await scores.fit("vim", { ...(await model.extract(train)), ...(await model.head()) });
   */
  async head(): Promise<LinearHead> {
    const weights = await this.weights();
    try {
      const { temperature } = this.architecture;
      const [weight, bias] = [weights.get("fc.weight"), weights.get("fc.bias")] as [Tensor, Tensor];
      return {
        weight: Tensor.from(
          Float64Array.from(weight.toArray() as Float32Array, (value) => value / temperature),
          weight.shape,
        ),
        bias: Tensor.from(Float64Array.from(bias.toArray() as Float32Array)),
      };
    } finally {
      for (const tensor of weights.values()) tensor.dispose();
    }
  }

  /** Copies of all parameters and buffers, under the names of DDU's PyTorch code, parameters first. */
  async weights(): Promise<Map<string, Tensor>> {
    const state = await runNative(undefined, (control) => this.#native.state(control));
    return new Map(state.map(({ name, tensor }) => [name, new Tensor(tensor)]));
  }

  /**
   * Sets all parameters and buffers; none is changed unless all names and shapes fit. `files.readSafetensors` reads them from a file.
   *
   * @param weights - by the names of {@link weights}; a counter (`num_batches_tracked`) may be a number
   * @throws ERR_SHAPE naming every tensor that is missing, surplus or of another shape; ERR_OPTION where some are surplus and nothing else is wrong;
   *   ERR_DTYPE, ERR_NON_FINITE, ERR_RANGE for a negative variance of a batch norm, ERR_BUSY during training
   */
  async setWeights(weights: ReadonlyMap<string, Tensor | ArrayWithShape | number | bigint>): Promise<void> {
    // By tag: the map may be of another realm.
    if (Object.prototype.toString.call(weights) !== "[object Map]") fail("ERR_OPTION", "weights", "a Map of names to tensors", weights);
    const taken = takeWeights(weights); // before anything is awaited
    await this.#retained(async (network) => {
      const own = await this.weights();
      try {
        await this.#loadState(fittingState(taken, own), network);
      } finally {
        for (const tensor of own.values()) tensor.dispose();
      }
    });
  }

  /** Writes the network to a .safetensors file, atomically. @throws ERR_IO */
  save(path: string): Promise<void> {
    return calledFrom(this.save, () => this.#save(path));
  }

  async #save(path: string): Promise<void> {
    const weights = await this.weights();
    const state = [...weights].map(([name, tensor]) => ({ name, tensor }));
    try {
      await writeModelFile(string(path, "path"), this.#describe(this.#normalization), state);
    } finally {
      for (const { tensor } of state) tensor.dispose();
    }
  }

  /** Frees the native memory; calls in flight end as they would. Idempotent; any later use throws ERR_DISPOSED. */
  dispose(): void {
    this.#disposed = true;
    this.#native.dispose();
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #imageTarget({ resize, maxPixels, signal }: AnyExtractOptions): ImageTarget {
    const { inChannels, imageSize } = this.architecture;
    return {
      channels: inChannels,
      size: imageSize,
      resize: oneOf(resize ?? "center-crop", "resize", imageResizes),
      maxPixels: checkMaxPixels(maxPixels),
      signal: optionalSignal(signal, "signal"),
    };
  }

  async #extractor(options: AnyExtractOptions): Promise<BoundExtractor> {
    const outputs = checkOutputs(options.outputs ?? defaultOutputs);
    const asked = checkPrecision(options.precision);
    const batchSize = integer(options.batchSize ?? 64, "batchSize", 1, 1 << 20);
    const signal = optionalSignal(options.signal, "signal");
    const normalization = this.#normalization;
    if (normalization === undefined) {
      throw new LibtorchOodError("ERR_OPTION", "normalization: the model has none; set model.normalization or train it first");
    }
    const precision = this.dtype === "float64" ? "float64" : resolvePrecision(asked, this.device);
    if (precision !== "float64") warnIfSlow(precision, this.device);
    const handle = await runNative(signal, (control) => this.#native.extractor(control, { precision }));
    const { l2Normalize } = this.architecture;
    return new BoundExtractor(given(handle), precision, { batchSize, normalization }, outputs, l2Normalize, signal);
  }

  /** Has a call that computes first keep the network, so that it ends as it would when this is disposed of meanwhile. */
  async #retained<T>(body: (network: NativeResNet) => Promise<T>): Promise<T> {
    const network = callNative(() => this.#native.retain());
    try {
      return await body(network);
    } finally {
      network.dispose();
    }
  }

  async #loadState(state: readonly NamedTensor[], network = this.#native): Promise<void> {
    const tensors = state.map(({ name, tensor }) => ({ name, tensor: Tensor.handle(tensor, name) }));
    requireVariances(state);
    await runNative(undefined, (control) => network.loadState(control, tensors));
  }

  async #loadStateOfFile(path: string, state: readonly NamedTensor[], network = this.#native): Promise<void> {
    try {
      await this.#loadState(state, network);
    } catch (cause) {
      const { code, message } = cause as LibtorchOodError;
      if (!["ERR_SHAPE", "ERR_DTYPE", "ERR_OPTION", "ERR_NON_FINITE", "ERR_RANGE"].includes(code)) throw cause;
      throw new LibtorchOodError("ERR_CORRUPT_FILE", `${path}: its tensors are not those of its architecture: ${message}`, { cause });
    }
  }

  /** Those of the data set, where they are those of this network: of more or fewer, a file could not say which class each names. */
  #namesOf({ classNames }: Dataset): readonly string[] | undefined {
    return classNames.length === this.architecture.numClasses ? classNames : undefined;
  }

  #describe(normalization: Normalization | undefined, train?: Dataset) {
    const { architecture, preset } = this;
    const classNames = this.#classNames ?? (train && this.#namesOf(train));
    return { architecture, normalization, classNames, preset, trainedOn: this.#trainedOn, training: undefined };
  }

  async #resume(network: NativeResNet, path: string, options: ResolvedFitOptions, hash: string, normalization: Normalization) {
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
        ...differing("architecture", file.description.architecture, this.architecture),
        ...differing(
          "option",
          { ...record.recipe, loss: (record.recipe as Partial<TrainingRecipe>).loss ?? "cross-entropy" },
          { ...options.recipe, precision: options.precision === "auto" ? record.recipe.precision : options.precision },
        ),
        ...differing("normalization", file.description.normalization ?? {}, normalization),
        ...differing("weights", { dtype: file.dtype }, { dtype: this.dtype }),
        ...(record.dataHash === hash ? [] : ["the training or validation data"]),
        ...(options.recipe.schedule === "cosine" ? differing("option", { epochs: record.epochs }, { epochs: options.epochs }) : []),
      ];
      if (differences.length > 0) {
        throw new LibtorchOodError("ERR_OPTION", `${path}: the checkpoint is of another run; it differs in ${differences.join(", ")}`);
      }
      const state = await file.state();
      const momentum = await file.momentum();
      await this.#loadStateOfFile(path, state, network);
      for (const { tensor } of state) tensor.dispose();
      return { record, momentum, trainedOn };
    } finally {
      await file.close();
    }
  }
}

type AnyExtractOptions = ExtractOptions<readonly ModelOutput[]>;
type ExtractedOutputs = Partial<Record<ModelOutput, Tensor>>;

const defaultOutputs: DefaultOutputs = ["features", "logits"];

/** @throws ERR_OPTION for anything but a list of outputs, each named once */
function checkOutputs(value: unknown): ReadonlySet<ModelOutput> {
  const list = shortList(value, 16);
  if (list === undefined || list.length === 0) fail("ERR_OPTION", "outputs", `a list of ${modelOutputs.join(", ")}`, value);
  const outputs = new Set<ModelOutput>();
  for (const [i, name] of list.entries()) {
    const output = oneOf(name, `outputs[${i}]`, modelOutputs);
    if (outputs.has(output)) fail("ERR_OPTION", `outputs[${i}]`, "each output once", output);
    outputs.add(output);
  }
  return outputs;
}

function rowsOf(extracted: ExtractedOutputs): number {
  return Object.values(extracted)[0]?.shape[0] ?? 0;
}

/** The images of one extraction, taken when this is made. */
class Input {
  readonly taken: Promise<NativeImages>;

  constructor(images: Images, target: ImageTarget, onError: OnError) {
    this.taken = imagesTensor(images, "images", target, onError);
    this.taken.catch(() => undefined); // whoever awaits it hears of a failure; until then it must not count as unhandled
  }

  async dispose(): Promise<void> {
    const taken = await this.taken.catch(() => undefined);
    taken?.tensor.dispose();
  }
}

/** `onError` of a chunk that has `before` images before it in its stream. */
function inStream(onError: OnError, before: number): OnError {
  if (typeof onError !== "function" || before === 0) return onError;
  return (failure) => onError({ ...failure, index: failure.index + before });
}

/** A native extractor with the options of one call. */
class BoundExtractor {
  constructor(
    private readonly handle: NativeExtractor,
    readonly precision: Extraction["precision"],
    private readonly options: { batchSize: number; normalization: NativeNormalization },
    private readonly outputs: ReadonlySet<ModelOutput>,
    private readonly normalizes: boolean,
    private readonly signal: AbortSignal | undefined,
  ) {}

  async extract(images: NativeTensor, onProgress?: ExtractAllOptions["onProgress"]): Promise<ExtractedOutputs> {
    const raw = this.outputs.has("rawFeatures");
    const outputs = {
      features: this.outputs.has("features") || (raw && !this.normalizes),
      rawFeatures: raw && this.normalizes,
      logits: this.outputs.has("logits"),
    };
    let guard: CallbackGuard | undefined;
    try {
      const total = images.shape[0] ?? 0;
      const found = await runNative(this.signal, (control) => {
        guard = new CallbackGuard(() => control.cancel());
        const report = onProgress && guard.wrap((done: number) => onProgress(done, total));
        return this.handle.extract(control, images, { ...this.options, outputs }, report && ((done) => void report(done)));
      });
      try {
        await guard?.finish(this.signal);
      } catch (error) {
        for (const tensor of Object.values(found)) tensor.dispose();
        throw error;
      }
      const extracted: ExtractedOutputs = {};
      for (const [name, tensor] of Object.entries(found) as [ModelOutput, NativeTensor][]) extracted[name] = new Tensor(tensor);
      if (extracted.features !== undefined && !this.normalizes) extracted.rawFeatures = extracted.features;
      return extracted;
    } catch (error) {
      guard?.rethrow();
      throw error;
    }
  }

  dispose(): void {
    this.handle.dispose();
  }
}

function splitValidation(train: Dataset, { validation, recipe }: ResolvedFitOptions): [Dataset, Dataset | undefined] {
  if (validation === undefined) return [train, undefined];
  if (typeof validation !== "number") return [train, requireDataset(validation, "validation")];
  const split = train.split(validation, recipe.seed);
  return [split.train, split.validation];
}

/** Of the data sets that a preset was published with. */
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

function labelled(chunk: ImageChunk): { images: Images; labels: Int32Array | undefined } {
  if (chunk instanceof Dataset) return { images: chunk, labels: Int32Array.from(requireDataset(chunk, "images").labels) };
  if (typeof chunk !== "object" || chunk === null || !("images" in chunk && "labels" in chunk)) return { images: chunk, labels: undefined };
  const { images, labels } = chunk;
  if (!ArrayBuffer.isView(labels) || typedArrayName(labels) !== "Int32Array") fail("ERR_DTYPE", "labels", "an Int32Array", labels);
  return { images, labels: Int32Array.from(labels) };
}
