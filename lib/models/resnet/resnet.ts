// ResNet: an L2-normalised, spectrally normalised residual network in native memory; it is created, trained, read, saved and loaded here.

import { boolean, fail, integer, oneOf, optionalSignal, optionsObject, string } from "../../core/checks";
import { checkClassNames } from "../../core/class-names";
import { LibtorchOodError } from "../../core/errors";
import type { ModelOutput } from "../../core/model-outputs";
import type { Overlap } from "../../core/overlap";
import { shortList } from "../../core/lists";
import { Scope } from "../../core/scope";
import { requireDataset, type Dataset } from "../../data/dataset";
import { checkNormalization, type Normalization } from "../../data/normalization";
import { imageRows, SeenInputs } from "../../data/seen-inputs";
import type { ImageSource } from "../../data/sources/source";
import { checkPreprocessing, type Preprocessing, type PreprocessingName, type PreprocessingOptions } from "../../data/preprocessing";
import { geometryOf, type ImageGeometry } from "../../images/geometry";
import type { ImageFailure } from "../../images/failure";
import { calledFrom, callNative, given, runNative } from "../../native/call";
import { native, type NativeResNet, type NativeTensor } from "../../native/surface";
import { Tensor, toTensor, type ArrayWithShape } from "../../native/tensor";
import { presetOf, withPreset, type PresetName, type PresetRecord } from "../../protocols/preset";
import { architectureKeys, resolveArchitecture, toNativeArchitecture, type Architecture, type ArchitectureOptions } from "./architecture";
import { requireMemory, warnIfLarge } from "./cost";
import type { DefaultOutputs, ExtractAllOptions, Extraction, ExtractionChunk, ExtractOptions, ImageChunks } from "../extract-options";
import { extractAll, extractChunks, type ExtractedModel } from "../extraction";
import { internals, type ExtractorDescription, type ExtractorInternals, type LinearHead, type OwnExtractor } from "../extractor";
import { nativeEngine } from "../native-engine";
import type { EpochReport, FitOptions } from "./fit-options";
import { fitNetwork, type LearnedClasses } from "./fitting";
import type { Images } from "../images";
import { checkInput, usualGeometry } from "./input";
import {
  describeModelFile,
  openModelFile,
  requireImageSize,
  writeModelFile,
  type ModelDescription,
  type ModelFileSummary,
  type NamedTensor,
} from "./model-file";
import { requireTorchvision } from "./torch-weights";
import { fittingState, requireVariances, takeWeights } from "./weights";

export type { Architecture, ArchitectureOptions, ResNetDepth, ResNetStem, SpectralNormOptions } from "./architecture";
export type {
  DefaultOutputs,
  ExtractAllOptions,
  ExtractedImages,
  Extraction,
  ExtractionChunk,
  ExtractOptions,
  ImageChunk,
  ImageChunks,
} from "../extract-options";
export type { BatchReport, EpochReport, FitOptions, TrainingOptions } from "./fit-options";
export type { ImageResize } from "../../images/geometry";
export type { ImageFailure, OnError, Truncated } from "../../images/failure";
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
  /**
   * What becomes of a picture before the network sees it: the name of one of {@link datasets.preprocessings}, or an object. It has a normalisation of
   * its own, and its `size` is the default of `imageSize`. Default: the shorter side becomes `imageSize`, the middle is kept.
   */
  input?: PreprocessingOptions | PreprocessingName;
  /** Preset that gives the switches of the architecture (not depth, size or classes). Other options override it. */
  preset?: PresetName;
  /** Signal that ends the warm-up of the spectral norm (`warmupIterations`) with ERR_ABORTED. Nothing else in `create` takes long. */
  signal?: AbortSignal;
}

const creationKeys = ["seed", "device", "dtype", "normalization", "input", "preset", "signal"] as const;

/** Options of {@link ResNet.load}. */
export interface ResNetLoadOptions extends Pick<ArchitectureOptions, "leakyRelu" | "l2Normalize" | "temperature"> {
  /** Device of the weights: "cpu", "cuda" or "cuda:N". Default "cpu". */
  device?: string;
  /** Dtype of the weights, whatever the file's. Default "float32". */
  dtype?: "float32" | "float64";
  /**
   * Largest image side in pixels that the network may have: a small file can state a large side, and its square is what an image costs. Default: no
   * limit.
   */
  maxImageSize?: number;
  /**
   * What becomes of a picture before the network sees it. Default: what the file says; for a file with weights alone and the stem "imagenet", the
   * preprocessing `imagenet`.
   */
  input?: PreprocessingOptions | PreprocessingName;
  /** Names of the classes in label order. Default: what the file says. */
  classNames?: readonly string[];
}

const loadKeys = ["device", "dtype", "maxImageSize", "input", "classNames", "leakyRelu", "l2Normalize", "temperature"] as const;

/** Options of {@link ResNet.save}. */
export interface ResNetSaveOptions {
  /**
   * Names of the tensors. "ours" are those of DDU's code. "torchvision" are those of torchvision and timm, whose `load_state_dict` then takes the
   * tensors; the network must have no spectral norm, ReLU, and convolutions as shortcuts. Default "ours".
   */
  names?: "ours" | "torchvision";
  /** Dtype of the weights in the file, rounded to nearest; of counters, none. {@link ResNet.load} reads any. Default: that of the network. */
  dtype?: "float32" | "float16" | "bfloat16";
}

/** Options of {@link ResNet.withHead}. */
export interface HeadOptions extends Pick<ArchitectureOptions, "l2Normalize" | "temperature"> {
  /** Seed of the new layer's weights, which are drawn from PyTorch's default distribution. Default 0. */
  seed?: number;
}

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
  #geometry: ImageGeometry;
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
    this.#geometry = usualGeometry(architecture);
    this.device = device;
    this.dtype = dtype;
  }

  /**
   * Creates a network with random weights.
   *
   * @param options - the architecture, of which `numClasses` is required, and seed, device, dtype and input
   * @throws ERR_OPTION for an unknown option, a value of another type, and both `input` and `normalization`; ERR_RANGE for a number outside its range;
   *   ERR_NON_FINITE for NaN and infinity; ERR_SHAPE for a `normalization` or `input` of another number of channels, and with the stem "cifar" for an
   *   `input` of another size; ERR_DEVICE if the device is unavailable; ERR_OUT_OF_MEMORY if the network does not
   *   fit into the free memory; ERR_ABORTED after an abort of `signal`; ERR_LIBTORCH_NOT_FOUND if libtorch is not installed
   * @example
   * const small = await ResNet.create({ numClasses: 10, seed: 1 }); // ResNet18 for RGB images of 32×32 pixels
   * const large = await ResNet.create({ depth: 50, stem: "imagenet", numClasses: 1000, input: "imagenet" }); // for 224×224
   */
  static async create(options: ResNetOptions): Promise<ResNet> {
    const { preset: name, ...stated } = optionsObject(options, "options", [...architectureKeys, ...creationKeys]);
    const preset = presetOf(name);
    const { options: checked, record } = withPreset(preset, preset?.architecture, stated);
    if (checked.input !== undefined && checked.normalization !== undefined) {
      throw new LibtorchOodError("ERR_OPTION", "input: expected no normalization beside it, because it has one");
    }
    const input = checked.input && checkPreprocessing(checked.input);
    const sized = { ...checked, input, imageSize: checked.imageSize ?? input?.size };
    warnIfLarge(resolveArchitecture(sized));
    return ResNet.#create(sized, record, true);
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
    if (checked.input !== undefined) model.input = checked.input;
    return model;
  }

  /**
   * Reads a network from a .safetensors file: one that {@link save} or {@link fit} (as a checkpoint) wrote, or the weights of a ResNet under the
   * parameter names of torchvision and timm, or of DDU's code. Names and shapes of the tensors tell which, and depth, stem, width and classes. A network
   * of torchvision has ReLU and neither L2 normalisation nor spectral norm; options switch on what changes no shape. Prefixes of wrappers ("module.",
   * "_orig_mod.") do not matter, and float16 and bfloat16 weights become float32.
   *
   * @param path - path of the .safetensors file
   * @param options - device, dtype, limits, and what the file does not say
   * @throws ERR_CORRUPT_FILE for a damaged file, one of another format, version or family of networks (ResNeXt, wide ResNets, ResNet-D), naming tensors
   *   that are missing, surplus or of another shape, and for a pickle of PyTorch, saying how to convert it; ERR_IO if the file cannot be read; ERR_RANGE
   *   for a network of larger images than `maxImageSize`; ERR_OPTION, ERR_SHAPE, ERR_DEVICE, ERR_OUT_OF_MEMORY and ERR_LIBTORCH_NOT_FOUND as
   *   {@link create}
   * @example
   * const model = await ResNet.load("model.safetensors", { device: "cuda" });
   * const resnet50 = await ResNet.load("resnet50.safetensors", { input: "imagenet", l2Normalize: true });
   */
  static load(path: string, options?: ResNetLoadOptions): Promise<ResNet> {
    return calledFrom(ResNet.load, () => ResNet.#load(path, options));
  }

  /**
   * Reads what the file of a network or a checkpoint says of it: architecture, normalisation, class names, epochs done. It reads no weight and does not
   * need libtorch. Of a file with weights alone, names and shapes tell the architecture.
   *
   * @param path - path of the .safetensors file
   * @throws ERR_CORRUPT_FILE for a damaged file or one of another format or version; ERR_IO if the file cannot be read
   * @example
   * const { architecture, epochsDone } = await ResNet.describe("checkpoint.safetensors");
   */
  static describe(path: string): Promise<ModelFileSummary> {
    return calledFrom(ResNet.describe, () => describeModelFile(path));
  }

  static async #load(path: string, options: ResNetLoadOptions | undefined): Promise<ResNet> {
    const {
      maxImageSize = Infinity,
      device,
      dtype,
      input: given,
      classNames: names,
      ...switches
    } = optionsObject(options, "options", loadKeys);
    if (maxImageSize !== Infinity) integer(maxImageSize, "maxImageSize", 1);
    const input = given && checkPreprocessing(given);
    const file = await openModelFile(path);
    try {
      const { description, weightsAlone } = file;
      const { classNames, preset, trainedOn } = description;
      // Weights alone say nothing of the size, unless a spectral norm does.
      const free = weightsAlone && description.architecture.spectralNorm === false;
      const stored = { ...description.architecture, ...(free && input && { imageSize: input.size }) };
      const architecture = resolveArchitecture({ ...stored, ...stated(switches) });
      const geometry = input ? checkInput(input, architecture) : description.geometry;
      const { normalization } = description;
      requireImageSize(path, { architecture, geometry }, maxImageSize);
      file.requireTensors();
      return await Scope.run(async (scope) => {
        const state = await file.state();
        scope.ownAll(state.map(({ tensor }) => tensor));
        const model = scope.own(await ResNet.#create({ ...architecture, device, dtype, normalization }, preset, false));
        await model.#loadStateOfFile(path, state);
        model.#geometry = geometryOf(geometry);
        if (input) model.input = input;
        model.classNames = names ?? classNames;
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
    copy.#geometry = this.#geometry;
    copy.#normalization = this.#normalization;
    copy.#classNames = this.#classNames;
    copy.#trainedOn = this.#trainedOn;
    return copy;
  }

  /** @internal Makes the network that is part of a larger file. @throws ERR_CORRUPT_FILE where its tensors do not fit its architecture, and what {@link create} throws */
  static async restore(
    path: string,
    { architecture, geometry, normalization, classNames, preset, trainedOn }: ModelDescription,
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
      model.#geometry = geometry;
      model.classNames = classNames;
      model.#trainedOn = trainedOn;
      return scope.release(model);
    });
  }

  /**
   * Makes a network with the same layers but the last, which is fresh: the usual start of training pretrained weights on classes of one's own. This
   * network stays as it is. What becomes of pictures, and the record of the images that it was trained on, go along.
   *
   * @param classNames - name of each class, in label order
   * @param options - seed of the new layer, and the switches of what comes before it; both stay as they are by default
   * @throws ERR_OPTION for fewer than 2 names, a name that appears twice, an unknown option or a value of another type; ERR_RANGE for a number outside
   *   its range; ERR_DISPOSED after {@link dispose}; ERR_OUT_OF_MEMORY
   * @example
   * const pretrained = await ResNet.load("resnet50.safetensors");
   * const model = await pretrained.withHead(["cat", "dog"], { l2Normalize: true, seed: 1 });
   * await model.fit(train, { epochs: 5, learningRate: { head: 0.1, body: 0.01 }, frozen: ["conv1", "bn1", "layer1"] });
   */
  async withHead(classNames: readonly string[], options?: HeadOptions): Promise<ResNet> {
    const { seed, ...switches } = optionsObject(options, "options", ["seed", "l2Normalize", "temperature"]);
    const names = shortList(classNames, 1 << 20);
    if (names === undefined || names.length < 2) fail("ERR_OPTION", "classNames", "at least 2 names", classNames);
    const { device, dtype } = this;
    const architecture = { ...this.architecture, ...stated(switches), numClasses: names.length };
    return Scope.run(async (scope) => {
      const old = await this.weights();
      scope.ownAll(old.values());
      const preset = Object.keys(stated(switches)).length === 0 ? this.preset : undefined;
      const model = scope.own(await ResNet.#create({ ...architecture, device, dtype, seed }, preset, false));
      const fresh = await model.weights();
      scope.ownAll(fresh.values());
      const state = [...fresh].map(([name, tensor]) => ({ name, tensor: (name.startsWith("fc.") ? tensor : old.get(name)) as Tensor }));
      await model.#loadState(state);
      model.classNames = names as string[];
      model.#geometry = this.#geometry;
      model.#normalization = this.#normalization;
      model.#trainedOn = this.#trainedOn;
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
    return this.#normalization && { ...this.#geometry, ...this.#normalization };
  }

  /**
   * Sets what becomes of a picture, {@link normalization} included.
   *
   * @throws ERR_OPTION for an unknown name or key and a value of another type; ERR_SHAPE for another number of channels than the network's, and with the
   *   stem "cifar" for another size; ERR_RANGE for a number outside its range; ERR_NON_FINITE for NaN and infinity
   */
  set input(value: PreprocessingOptions | PreprocessingName) {
    const { mean, std, ...geometry } = checkInput(value, this.architecture);
    this.#geometry = geometry;
    this.normalization = { mean, std };
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
   * A Dataset is trained on in memory. An {@link ImageSource} gives its images batch by batch, decoded while the batch before is computed: memory does not
   * grow with their number. What it gives becomes the network's `input` form, and the network must have normalisation constants. The network does not
   * remember a source's images, so that an evaluation on them goes unnoticed.
   *
   * @param train - training images and labels; of a Dataset, the native side copies them
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
  fit(train: Dataset | ImageSource, options: FitOptions): Promise<EpochReport[]> {
    return calledFrom(this.fit, () => this.#fit(train, options));
  }

  async #fit(train: ImageSource, options: FitOptions): Promise<EpochReport[]> {
    const { architecture, device, dtype } = this;
    return this.#retained((handle) =>
      fitNetwork(
        {
          ...{ handle, architecture, device, dtype, input: this.#geometry },
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
   * @param images - a Dataset; [N, C, H, W] as uint8 or as floats in 0 … 1; or one image or several as encoded bytes (PNG, JPEG, WebP, GIF, TIFF, AVIF), paths,
   *   `file:` URLs, Blobs or RGBA `{ data, width, height }`, which are decoded off the JavaScript thread; WebP, TIFF and AVIF need sharp, an optional peer
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
   * @param source - chunks of images in any form that {@link extract} takes, or `{ images, labels }`; or an {@link ImageSource}, whose batches of
   *   `batchSize` are the chunks
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
    source: ImageChunks,
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
   * Writes the network to a .safetensors file, atomically: an interrupted call leaves an older file as it was. Beside the weights the file says what the
   * network is, under torchvision's names too, so that {@link load} makes the same one.
   *
   * @param path - path of the file; an existing file is replaced
   * @param options - names and dtype of the tensors
   * @throws ERR_IO if the file cannot be written; ERR_DISPOSED after {@link dispose}; ERR_OPTION for a path that is no string, an unknown option, and a
   *   network that has switches of which torchvision knows nothing; ERR_RANGE naming a tensor with a number that is too large for float16
   * @example
   * await model.save("model.safetensors");
   * await model.save("resnet18.safetensors", { names: "torchvision", dtype: "float16" });
   */
  save(path: string, options?: ResNetSaveOptions): Promise<void> {
    return calledFrom(this.save, () => this.#save(path, options));
  }

  async #save(path: string, options: ResNetSaveOptions | undefined): Promise<void> {
    const { names = "ours", dtype } = optionsObject(options, "options", ["names", "dtype"]);
    const form = {
      names: oneOf(names, "names", ["ours", "torchvision"] as const),
      dtype: dtype && oneOf(dtype, "dtype", ["float32", "float16", "bfloat16"] as const),
    };
    if (form.names === "torchvision") requireTorchvision(this.architecture);
    await Scope.run(async (scope) => {
      const weights = await this.weights();
      scope.ownAll(weights.values());
      const state = [...weights].map(([name, tensor]) => ({ name, tensor }));
      await writeModelFile(string(path, "path"), this.#describe(this.#normalization), state, [], form);
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
      input: { ...this.#geometry, ...normalization },
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
  #namesOf({ classNames }: LearnedClasses): readonly string[] | undefined {
    return classNames?.length === this.architecture.numClasses ? classNames : undefined;
  }

  #describe(normalization: Normalization | undefined, train?: LearnedClasses) {
    const { architecture, preset } = this;
    const classNames = this.#classNames ?? (train && this.#namesOf(train));
    const geometry = this.#geometry;
    return { architecture, geometry, normalization, classNames, preset, trainedOn: this.#trainedOn, training: undefined };
  }
}

/** The options that are not undefined. */
function stated<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>;
}
