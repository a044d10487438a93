// ResNet: an L2-normalised, spectrally normalised residual network in native memory; it is created, trained, read, saved and loaded here.

import { boolean, fail, integer, oneOf, optionalSignal, optionsObject, string } from "../../core/checks";
import { checkClassNames } from "../../core/class-names";
import { LibtorchOodError } from "../../core/errors";
import type { ModelOutput } from "../../core/model-outputs";
import type { Overlap } from "../../core/overlap";
import { Scope } from "../../core/scope";
import { requireDataset, type Dataset } from "../../data/dataset";
import { checkNormalization, type Normalization } from "../../data/normalization";
import { imageRows, SeenInputs } from "../../data/seen-inputs";
import type { Preprocessing } from "../../data/preprocessing";
import { checkGeometry, type ImageGeometry } from "../../images/geometry";
import type { ImageFailure } from "../../images/failure";
import { calledFrom, callNative, given, runNative } from "../../native/call";
import { native, type NativeResNet, type NativeTensor } from "../../native/surface";
import { Tensor, toTensor, type ArrayWithShape } from "../../native/tensor";
import { presetOf, withPreset, type PresetName, type PresetRecord } from "../../protocols/preset";
import { architectureKeys, resolveArchitecture, toNativeArchitecture, type Architecture, type ArchitectureOptions } from "./architecture";
import { requireMemory, warnIfLarge } from "./cost";
import type { DefaultOutputs, ExtractAllOptions, Extraction, ExtractionChunk, ExtractOptions, ImageChunk } from "../extract-options";
import { extractAll, extractChunks, type ExtractedModel } from "../extraction";
import { internals, type ExtractorDescription, type ExtractorInternals, type LinearHead, type OwnExtractor } from "../extractor";
import { nativeEngine } from "../native-engine";
import type { EpochReport, FitOptions } from "./fit-options";
import { fitNetwork } from "./fitting";
import type { Images } from "../images";
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
} from "../extract-options";
export type { BatchReport, EpochReport, FitOptions, TrainingOptions } from "./fit-options";
export type { ImageResize } from "../../images/geometry";
export type { ImageFailure, OnError } from "../../images/failure";
export type { Image, ImageDataLike } from "../../images/image";
export type { Images } from "../images";
export type { ModelFileSummary } from "./model-file";

/** Options of {@link ResNet.create}: the architecture, the initial weights, and the device and dtype of the weights. */
export interface ResNetOptions extends ArchitectureOptions {
  /** Seed of the initial weights, which are drawn from PyTorch's default distributions. Default 0. */
  seed?: number;
  /** Device of the weights: "cpu", "cuda" or "cuda:N". Default "cpu". */
  device?: string;
  /** Dtype of the weights, and of features and logits. "float64" is for exact comparisons. Default "float32". */
  dtype?: "float32" | "float64";
  /** Constants that the input images are normalised with, one mean and std per channel. Default: the training set's own, which the first `fit` takes over. */
  normalization?: Normalization;
  /** Preset that gives the switches of the architecture (not depth, size or classes). Other options override it. */
  preset?: PresetName;
  /** Signal that ends the warm-up of the spectral norm (`warmupIterations`) with ERR_ABORTED. Nothing else in `create` takes long. */
  signal?: AbortSignal;
}

const creationKeys = ["seed", "device", "dtype", "normalization", "preset", "signal"] as const;

/**
 * A residual network in native memory. {@link ResNet.create} and {@link ResNet.load} make one. {@link dispose} frees its memory, and so does garbage
 * collection.
 *
 * @example
 * import { Dataset, ResNet } from "libtorch-ood";
 *
 * const images = Uint8Array.from({ length: 64 * 28 * 28 }, (_, i) => (i * 37) % 256);
 * const labels = Array.from({ length: 64 }, (_, i) => i % 10);
 * const train = Dataset.fromArrays({ images, labels, shape: [1, 28, 28], normalization: { mean: [0.5], std: [0.25] } });
 * const model = await ResNet.create({ numClasses: 10, inChannels: 1, imageSize: 28, seed: 1 });
 * await model.fit(train, { epochs: 3, milestones: [2] });
 * const { features, logits } = await model.extract(train);
 * console.log(features.shape, logits.shape); // [ 64, 512 ] [ 64, 10 ]
 */
export class ResNet implements OwnExtractor {
  /** Kind of the extractor. */
  readonly kind = "resnet";
  /** Architecture of the network, with every default filled in. */
  readonly architecture: Architecture;
  /** Device of the weights: "cpu", "cuda" or "cuda:N". */
  readonly device: string;
  /** Dtype of the weights. */
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
   * @param options - the architecture, of which `numClasses` is required, and seed, device, dtype and normalisation
   * @throws ERR_OPTION for an unknown option or a value of another type; ERR_RANGE for a number outside its range; ERR_NON_FINITE for NaN and infinity;
   *   ERR_SHAPE for a `normalization` of another number of channels; ERR_DEVICE if the device is unavailable; ERR_OUT_OF_MEMORY if the network does not
   *   fit into the free memory; ERR_ABORTED after an abort of `signal`; ERR_LIBTORCH_NOT_FOUND if libtorch is not installed
   * @example
   * const model = await ResNet.create({ numClasses: 10, seed: 1 }); // ResNet18 for RGB images of 32×32 pixels
   */
  static async create(options: ResNetOptions): Promise<ResNet> {
    const { preset: name, ...stated } = optionsObject(options, "options", [...architectureKeys, ...creationKeys]);
    const preset = presetOf(name);
    const { options: checked, record } = withPreset(preset, preset?.architecture, stated);
    warnIfLarge(resolveArchitecture(checked));
    return ResNet.#create(checked, record, true);
  }

  /** Makes the native network. @param warm - false where weights follow: they include the vectors of the spectral norm, so that a warm-up is useless */
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
   * Reads a network from a file that {@link save} or {@link fit} (as a checkpoint) wrote.
   *
   * @param path - path of the .safetensors file
   * @param options.device - "cpu", "cuda" or "cuda:N"; default "cpu"
   * @param options.dtype - dtype of the weights, whatever the file's; default "float32"
   * @param options.maxImageSize - largest image side in pixels that the network may have: a small file can state a large side, and its square is what
   *   an image costs. Default: no limit
   * @throws ERR_CORRUPT_FILE for a damaged file or one of another format or version; ERR_IO if the file cannot be read; ERR_RANGE for a network of
   *   larger images than `maxImageSize`; ERR_OPTION, ERR_DEVICE, ERR_OUT_OF_MEMORY and ERR_LIBTORCH_NOT_FOUND as {@link create}
   * @example
   * const model = await ResNet.load("model.safetensors", { device: "cuda" });
   */
  static load(path: string, options?: { device?: string; dtype?: "float32" | "float64"; maxImageSize?: number }): Promise<ResNet> {
    return calledFrom(ResNet.load, () => ResNet.#load(path, options));
  }

  /**
   * Reads what the file of a network or a checkpoint says of it: architecture, normalisation, class names, epochs done. It reads no weight and does not
   * need libtorch.
   *
   * @param path - path of the .safetensors file
   * @throws ERR_CORRUPT_FILE for a damaged file or one of another format or version; ERR_IO if the file cannot be read
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

  /** @internal What a detector needs of the network. */
  get [internals](): ExtractorInternals {
    return {
      copy: () => this.#copy(),
      trainedOn: this.#trainedOn,
      dtype: this.dtype,
      stored: () => this.#describe(this.#normalization),
      state: async () => [...(await this.weights())].map(([name, tensor]) => ({ name, tensor: Tensor.handle(tensor, name) })),
    };
  }

  async #copy(): Promise<ResNet> {
    const handle = await runNative(undefined, (control) => this.#native.copy(control));
    const copy = new ResNet(handle, this.architecture, this.device, this.dtype, this.preset);
    copy.#normalization = this.#normalization;
    copy.#classNames = this.#classNames;
    copy.#trainedOn = this.#trainedOn;
    return copy;
  }

  /** @internal Makes the network that is part of a larger file. @throws ERR_CORRUPT_FILE where its tensors do not fit its architecture, and what {@link create} throws */
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

  /**
   * Finds the images that the network has been trained on, byte by byte the same. An evaluation on them would flatter the network. The network's files
   * keep the record of its training images. {@link setWeights} brings none.
   *
   * @param images - the data set to look at
   * @returns the numbers of the images that were trained on, and how many images could be checked
   * @throws ERR_OPTION for anything but a Dataset; ERR_DISPOSED after {@link dispose}
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

  /** Number of classes C, which is the number of logits. */
  get numClasses(): number {
    return this.architecture.numClasses;
  }

  /** What becomes of a picture before the network sees it; undefined while {@link normalization} is. */
  get input(): Preprocessing | undefined {
    return this.#normalization && { ...this.#geometry(), ...this.#normalization };
  }

  #geometry(): ImageGeometry {
    const { inChannels: channels, imageSize: size } = this.architecture;
    return checkGeometry({ channels, size }, "input");
  }

  /** What the network says of itself. */
  describe(): ExtractorDescription {
    const { kind, featureDim, numClasses, input, classNames } = this;
    return { kind, featureDim, numClasses, input, classNames };
  }

  /** Whether a {@link fit} is running. */
  get training(): boolean {
    return callNative(() => this.#native.training);
  }

  /**
   * Names of the classes in label order, from the data set that the network was first trained on; undefined before that, and if that data set has
   * more or fewer classes.
   */
  get classNames(): readonly string[] | undefined {
    return this.#classNames;
  }

  /**
   * Sets the names of the classes.
   *
   * @throws ERR_OPTION for anything but an array of strings, and for a name that appears twice; ERR_SHAPE if there is not one name per class
   */
  set classNames(value: readonly string[] | undefined) {
    this.#classNames = value === undefined ? undefined : Object.freeze(checkClassNames(value, this.architecture.numClasses));
  }

  /** Constants that the input images are normalised with, for pixels scaled to 0 … 1; undefined before the first {@link fit} unless they were given. */
  get normalization(): Normalization | undefined {
    return this.#normalization;
  }

  /**
   * Sets the constants that the input images are normalised with.
   *
   * @throws ERR_OPTION for anything but `{ mean, std }` of numbers; ERR_SHAPE if there is not one value per channel; ERR_NON_FINITE for NaN and infinity;
   *   ERR_RANGE for a std that is not positive or makes pixels beyond 1e12
   */
  set normalization(value: Normalization | undefined) {
    this.#normalization = value && checkNormalization(value, this.architecture.inChannels);
  }

  /**
   * Trains the network by SGD on cross entropy or on the neural-collapse loss. The loop, augmentation included, is native. It gives way to other calls
   * between batches: {@link extract} meanwhile reads the weights as they are between two batches. In `onEpoch`, for which the next epoch waits, it reads
   * the weights at the end of the epoch.
   *
   * A network that has been trained, or loaded from a checkpoint, is trained further from its weights with any options. Epochs count from 1, learning
   * rate and milestones are those of this call, and momentum starts at zero.
   *
   * With `checkpoint`, a run that was stopped at any moment (also by `kill -9`) continues with `resume: true`. On the CPU, with the same number of
   * threads, it ends with the weights of an uninterrupted run bit for bit. After ERR_ABORTED the network holds the weights of the last finished batch.
   *
   * @param train - training images and labels; the native side copies them
   * @param options - the number of epochs or a preset, and the recipe
   * @returns a report per epoch, resumed ones included
   * @throws ERR_BUSY if another `fit` of this network runs; ERR_SHAPE for images of another shape than the network's; ERR_RANGE for an option or a label
   *   outside its range, and for batches on which the neural-collapse loss is not defined; ERR_NON_FINITE if training diverges; ERR_OPTION for an unknown
   *   option or a value of another type, without normalisation constants, and if the checkpoint is of other options or data; ERR_CORRUPT_FILE for a
   *   damaged checkpoint; ERR_IO if a checkpoint cannot be written; ERR_ABORTED after an abort; ERR_DISPOSED after {@link dispose}; ERR_OUT_OF_MEMORY;
   *   and what `onEpoch` or `onBatch` throws
   * @example
   * const reports = await model.fit(train, { epochs: 60, batchSize: 1024, milestones: [40, 50], augmentation: "crop-flip", checkpoint: "run.safetensors" });
   * console.log(reports.at(-1)?.accuracy);
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
   * Computes features and logits of images in evaluation mode, without augmentation. The network runs once for all outputs. Batch norm and spectral norm
   * are folded into the convolutions once per call.
   *
   * @param images - a Dataset; [N, C, H, W] as uint8 or as floats in 0 … 1; or one image or several as encoded PNG, JPEG or WebP bytes, paths,
   *   `file:` URLs, Blobs or RGBA `{ data, width, height }`, of which sharp (an optional peer dependency) decodes the files, off the JavaScript thread
   * @param options - which outputs to compute, and how
   * @throws ERR_SHAPE for images of another shape than the network's, and for decoded ones of another size with `resize: "none"`; ERR_DTYPE for an array
   *   of another dtype; ERR_NON_FINITE for NaN or infinity in images, or if the network gives NaN; ERR_OPTION without normalisation constants, for an
   *   unknown option, and for `outputs` that are empty, unknown or named twice; ERR_RANGE for an option outside its range; ERR_CORRUPT_FILE for an image
   *   that cannot be decoded; ERR_IO for a file that cannot be read; ERR_SHARP_NOT_FOUND if sharp is needed and not installed; ERR_ABORTED after an
   *   abort; ERR_DISPOSED after {@link dispose}; ERR_OUT_OF_MEMORY; and what `onError` or `onProgress` throws
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
   * Computes features and logits of more images than fit in memory: it reads chunks, extracts, and awaits `sink` for each, in order. While one chunk is
   * computed, the next one is read, and no more. Memory is therefore bounded by two chunks, and a slow sink slows the source. The weights are those at
   * the start of the call.
   *
   * @param source - chunks of images in any form that {@link extract} takes, or `{ images, labels }`
   * @param sink - function that receives each chunk. The chunk's tensors are disposed when the promise that the function returns settles. An abort waits
   *   for that promise too, so that no sink works on after the call has ended: pass the signal to whatever takes long
   * @param options - which outputs to compute, and how
   * @returns the number of rows, and the images that were skipped
   * @throws ERR_OPTION if `source` is not iterable or `sink` not a function; ERR_DTYPE for labels that are no Int32Array; ERR_SHAPE if there is not one
   *   label per image; what {@link extract} throws; and what source or sink throws. After an error the source is closed
   * @example
   * const { count } = await model.extractStream(chunks, ({ features, offset }) => console.log(offset, features.shape), { outputs: ["features"] });
   */
  extractStream<const Outputs extends readonly ModelOutput[] = DefaultOutputs>(
    source: AsyncIterable<ImageChunk> | Iterable<ImageChunk>,
    sink: (chunk: ExtractionChunk<Outputs>) => unknown,
    options?: ExtractOptions<Outputs>,
  ): Promise<{
    /** Number of rows in all chunks. */
    count: number;
    /** Images that `onError` left out; `index` counts from the first image of the stream. */
    skipped: ImageFailure[];
  }> {
    return calledFrom(this.extractStream, () => extractChunks(this.#extracted(), source, sink, options));
  }

  /**
   * Runs one forward pass over images that are normalised already.
   *
   * @param images - [N, C, H, W], float32 or float64
   * @param options.training - true: the pass is as in training, with batch statistics, which also advance the running ones, and a power iteration of the
   *   spectral norm. Default false
   * @param options.signal - signal that ends the pass with ERR_ABORTED
   * @returns model outputs of the network's dtype
   * @throws ERR_SHAPE for images of another shape than the network's, or none; ERR_DTYPE for another dtype; ERR_BUSY with `training` while a {@link fit}
   *   runs; ERR_OPTION for an unknown option; ERR_ABORTED after an abort; ERR_DISPOSED after {@link dispose}; ERR_OUT_OF_MEMORY
   */
  async forward(
    images: Tensor | ArrayWithShape,
    options?: { training?: boolean; signal?: AbortSignal },
  ): Promise<{
    /** Features as the last layer sees them, [N, d]: divided by their norm where `l2Normalize` is on. */
    features: Tensor;
    /** Features as pooling gives them, [N, d]. */
    rawFeatures: Tensor;
    /** Logits, [N, C]. */
    logits: Tensor;
  }> {
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
   * Copies the last layer, which gives logits = features · weightᵀ + bias. The weight includes the temperature, by which the network divides its
   * features first.
   *
   * @returns `weight` [C, d] and `bias` [C], float64
   * @throws ERR_DISPOSED after {@link dispose}; ERR_OUT_OF_MEMORY
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

  /**
   * Copies all parameters and buffers, under the names of DDU's PyTorch code, parameters first.
   *
   * @throws ERR_DISPOSED after {@link dispose}; ERR_OUT_OF_MEMORY
   * @example
   * const weights = await model.weights();
   * console.log(weights.get("fc.weight")?.shape); // [ 10, 512 ]
   */
  async weights(): Promise<Map<string, Tensor>> {
    const state = await runNative(undefined, (control) => this.#native.state(control));
    return new Map(state.map(({ name, tensor }) => [name, new Tensor(tensor)]));
  }

  /**
   * Sets all parameters and buffers. None changes unless all names and shapes fit. `files.readSafetensors` reads them from a file.
   *
   * @param weights - tensors by the names of `weights()`; a counter (`num_batches_tracked`) may be a number
   * @throws ERR_SHAPE naming every tensor that is missing, surplus or of another shape; ERR_OPTION if tensors are surplus and nothing else is wrong, and
   *   for anything but a Map of names to tensors; ERR_DTYPE for integers where the network has floats; ERR_NON_FINITE for NaN and infinity; ERR_RANGE for a negative
   *   variance of a batch norm; ERR_BUSY while a {@link fit} runs; ERR_DISPOSED after {@link dispose}, and for a tensor that has been disposed
   * @example
   * const { tensors } = await files.readSafetensors("weights.safetensors");
   * await model.setWeights(tensors);
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

  /**
   * Writes the network to a .safetensors file, atomically: an interrupted call leaves an older file as it was.
   *
   * @param path - path of the file; an existing file is replaced
   * @throws ERR_IO if the file cannot be written; ERR_DISPOSED after {@link dispose}; ERR_OPTION for a path that is no string
   * @example
   * await model.save("model.safetensors");
   */
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

  /** Frees the native memory. Calls in flight end as they would. Later calls throw ERR_DISPOSED; a second `dispose` does nothing. */
  dispose(): void {
    this.#disposed = true;
    this.#native.dispose();
  }

  /** Whether {@link dispose} has been called. */
  get disposed(): boolean {
    return this.#disposed;
  }

  /** Calls {@link dispose} at the end of a `using` declaration's block. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** The part of the network that an extraction reads, as it is at the call. */
  #extracted(): ExtractedModel {
    const { device, dtype } = this;
    const normalization = this.#normalization;
    const normalizes = this.architecture.l2Normalize;
    const extractor: NativeResNet["extractor"] = (control, options) => this.#native.extractor(control, options);
    return {
      input: this.#geometry(),
      engine: (options) => nativeEngine({ device, dtype, normalization, normalizes, extractor }, options),
    };
  }

  /** Keeps the native network alive during a call, so that the call ends as it would even if this object is disposed of meanwhile. */
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

  /** The data set's class names if there is one for each class of the network: of more or fewer, a file could not say which class each names. */
  #namesOf({ classNames }: Dataset): readonly string[] | undefined {
    return classNames.length === this.architecture.numClasses ? classNames : undefined;
  }

  #describe(normalization: Normalization | undefined, train?: Dataset) {
    const { architecture, preset } = this;
    const classNames = this.#classNames ?? (train && this.#namesOf(train));
    return { architecture, normalization, classNames, preset, trainedOn: this.#trainedOn, training: undefined };
  }
}
