// ResNet: an L2-normalised, spectrally normalised residual network that is trained and read natively.

import { boolean, fail, integer, oneOf, optionalSignal, optionsObject, string } from "../../core/checks";
import { checkClassNames } from "../../core/class-names";
import { LibtorchOodError } from "../../core/errors";
import type { ModelOutput } from "../../core/model-outputs";
import type { Overlap } from "../../core/overlap";
import { Scope } from "../../core/scope";
import { requireDataset, type Dataset } from "../../data/dataset";
import { checkNormalization, type Normalization } from "../../data/normalization";
import { imageRows, SeenInputs } from "../../data/seen-inputs";
import type { ImageFailure } from "../../images/failure";
import { calledFrom, callNative, given, runNative } from "../../native/call";
import { native, type NativeResNet, type NativeTensor } from "../../native/surface";
import { Tensor, toTensor, type ArrayWithShape } from "../../native/tensor";
import { presetOf, withPreset, type PresetName, type PresetRecord } from "../../protocols/preset";
import { architectureKeys, resolveArchitecture, toNativeArchitecture, type Architecture, type ArchitectureOptions } from "./architecture";
import { requireMemory, warnIfLarge } from "./cost";
import type { DefaultOutputs, ExtractAllOptions, Extraction, ExtractionChunk, ExtractOptions, ImageChunk } from "./extract-options";
import { extractAll, extractChunks, type ExtractedNetwork } from "./extraction";
import type { EpochReport, FitOptions } from "./fit-options";
import { fitNetwork } from "./fitting";
import type { Images } from "./images";
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
import { fittingState, requireVariances, takeWeights } from "./weights";

export type { Architecture, ArchitectureOptions, SpectralNormOptions } from "./architecture";
export type {
  DefaultOutputs,
  ExtractAllOptions,
  ExtractedImages,
  Extraction,
  ExtractionChunk,
  ExtractOptions,
  ImageChunk,
} from "./extract-options";
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

const creationKeys = ["seed", "device", "dtype", "normalization", "preset", "signal"] as const;
/** A layer that makes logits: features · weightᵀ + bias. */
export interface LinearHead {
  /** [C, d] */
  weight: Tensor;
  /** [C] */
  bias: Tensor;
}

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
      return await Scope.run(async (scope) => {
        const state = await file.state();
        scope.ownAll(state.map(({ tensor }) => tensor));
        const model = scope.own(await ResNet.#create({ ...architecture, ...checked, normalization }, preset, false));
        await model.#loadStateOfFile(path, state);
        model.classNames = classNames;
        model.#trainedOn = trainedOn;
        return scope.release(model);
      });
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
    return Scope.run(async (scope) => {
      const model = scope.own(await ResNet.#create({ ...architecture, device, dtype, normalization }, preset, false));
      await model.#loadStateOfFile(
        path,
        state.map(({ name, tensor }) => ({ name, tensor: new Tensor(tensor) })),
      );
      model.classNames = classNames;
      model.#trainedOn = trainedOn;
      return scope.release(model);
    });
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
    const { architecture, device, dtype } = this;
    return this.#retained((handle) =>
      fitNetwork(
        {
          ...{ handle, architecture, device, dtype },
          normalization: this.#normalization,
          trainedOn: () => this.#trainedOn,
          describe: (normalization, learned) => this.#describe(normalization, learned),
          loadState: (path, state) => this.#loadStateOfFile(path, state, handle),
          // Private fields: this must not fail once the native call has begun, whatever was done to the object.
          adopt: (trainedOn, normalization, learned) => {
            this.#trainedOn = trainedOn;
            this.#normalization = normalization;
            this.#classNames ??= this.#namesOf(learned);
          },
        },
        train,
        options,
      ),
    );
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
    return calledFrom(this.extract, () => extractAll(this.#extracted(), images, options));
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
    return calledFrom(this.extractStream, () => extractChunks(this.#extracted(), source, sink, options));
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
    return Scope.run(async (scope) => {
      const weights = await this.weights();
      scope.ownAll(weights.values());
      const { temperature } = this.architecture;
      const [weight, bias] = [weights.get("fc.weight"), weights.get("fc.bias")] as [Tensor, Tensor];
      return {
        weight: Tensor.from(
          Float64Array.from(weight.toArray() as Float32Array, (value) => value / temperature),
          weight.shape,
        ),
        bias: Tensor.from(Float64Array.from(bias.toArray() as Float32Array)),
      };
    });
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
      await Scope.run(async (scope) => {
        const own = await this.weights();
        scope.ownAll(own.values());
        await this.#loadState(fittingState(taken, own), network);
      });
    });
  }

  /** Writes the network to a .safetensors file, atomically. @throws ERR_IO */
  save(path: string): Promise<void> {
    return calledFrom(this.save, () => this.#save(path));
  }

  async #save(path: string): Promise<void> {
    await Scope.run(async (scope) => {
      const weights = await this.weights();
      scope.ownAll(weights.values());
      const state = [...weights].map(([name, tensor]) => ({ name, tensor }));
      await writeModelFile(string(path, "path"), this.#describe(this.#normalization), state);
    });
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

  /** What an extraction reads, as it is at the call. */
  #extracted(): ExtractedNetwork {
    const { architecture, device, dtype } = this;
    const extractor: NativeResNet["extractor"] = (control, options) => this.#native.extractor(control, options);
    return { architecture, device, dtype, normalization: this.#normalization, extractor };
  }

  /** Has a call that computes first keep the network, so that it ends as it would when this is disposed of meanwhile. */
  async #retained<T>(body: (network: NativeResNet) => Promise<T>): Promise<T> {
    return Scope.run((scope) => body(scope.own(callNative(() => this.#native.retain()))));
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
}
