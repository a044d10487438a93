// TorchScriptModel: a network that PyTorch traced or scripted into a file, run by libtorch; features and logits are found in its graph.

import { optionalSignal, optionsObject, string } from "../core/checks";
import { checkClassNames } from "../core/class-names";
import { LibtorchOodError } from "../core/errors";
import type { ModelOutput } from "../core/model-outputs";
import { Scope } from "../core/scope";
import { checkPreprocessing, type Preprocessing, type PreprocessingName, type PreprocessingOptions } from "../data/preprocessing";
import { SeenInputs } from "../data/seen-inputs";
import type { ImageFailure } from "../images/failure";
import { calledFrom, callNative, given, runNative } from "../native/call";
import { native, type NativeTorchScript } from "../native/surface";
import { Tensor } from "../native/tensor";
import type { DefaultOutputs, ExtractAllOptions, Extraction, ExtractionChunk, ExtractOptions, ImageChunks } from "./extract-options";
import { extractAll, extractChunks, type ExtractedModel } from "./extraction";
import { internals, type ExtractorDescription, type ExtractorInternals, type LinearHead, type OwnExtractor } from "./extractor";
import { readHashed } from "./hashed-bytes";
import type { Images } from "./images";
import { nativeEngine } from "./native-engine";

/** Options of {@link TorchScriptModel.load}. */
export interface TorchScriptOptions {
  /** What becomes of a picture before the model sees it, or the name of one of the {@link datasets.preprocessings}. */
  input: PreprocessingOptions | PreprocessingName;
  /**
   * What gives the features, in place of the input of the last linear layer:
   * - the name of a submodule that the model calls once, such as `"layer4"` or `"encoder.ln"`;
   * - `"output"` for a model whose output is an embedding; `"output.0"` or `"output.name"` for a part of a tuple or dictionary;
   * - the name of a value in the graph of `torch.jit.freeze(torch.jit.load(path))`.
   *
   * Rows with further dimensions are flattened.
   */
  features?: string;
  /** Name of each class, in label order. Default: none. */
  classNames?: readonly string[];
  /** Device that computes: "cpu", "cuda" or "cuda:N", wherever the model was made. Default "cpu". */
  device?: string;
  /** Signal that ends the loading with ERR_ABORTED. */
  signal?: AbortSignal;
}

const keys = ["input", "features", "classNames", "device", "signal"] as const;

/** What {@link TorchScriptModel} keeps of its file, and of the options it was loaded with. */
export interface StoredTorchScript {
  readonly path: string;
  readonly sha256: string;
  readonly features: string | undefined;
  readonly input: Preprocessing;
  readonly featureDim: number;
  readonly numClasses: number | undefined;
  readonly classNames: readonly string[] | undefined;
}

/**
 * A network of PyTorch in a TorchScript file, which `torch.jit.trace(model.eval(), example).save(path)` or `torch.jit.script(model.eval()).save(path)`
 * writes. Its graph is frozen once: evaluation mode, batch norm folded into convolutions, parameters as constants. The last linear layer is found in it.
 * Its input becomes the features, its output the logits, its constants the {@link head}; what comes after it, such as a softmax, is left out. A model
 * without a linear layer at its end gives its output as features, and no logits.
 *
 * `rawFeatures` are the features. Weights are float32, whatever the file's. PyTorch has deprecated TorchScript: prefer safetensors for ResNets
 * ({@link ResNet.load}) and ONNX for other networks.
 *
 * The file is a program: libtorch's interpreter runs it. Load files of people you trust only.
 *
 * @example
 * import { TorchScriptModel } from "libtorch-ood";
 *
 * const model = await TorchScriptModel.load("mobilenet_v3_small.pt", { input: "imagenet" });
 * const { features, logits } = await model.extract(["cat.jpg", "dog.jpg"]);
 * console.log(features.shape, logits.shape); // [ 2, 1024 ] [ 2, 1000 ]
 */
export class TorchScriptModel implements OwnExtractor {
  /** Kind of the extractor. */
  readonly kind = "torchscript";
  /** Device that computes: "cpu", "cuda" or "cuda:N". */
  readonly device: string;
  readonly #native: NativeTorchScript;
  readonly #stored: StoredTorchScript;
  #disposed = false;

  private constructor(handle: NativeTorchScript, stored: StoredTorchScript, device: string) {
    this.#native = given(handle);
    this.#stored = stored;
    this.device = device;
  }

  /**
   * Reads a TorchScript file, and runs the model once on two pictures of zeros to learn its dimensions.
   *
   * @param path - path of the file
   * @param options - what becomes of a picture (required), and what gives the features
   * @throws ERR_IO if the file cannot be read; ERR_CORRUPT_FILE for a damaged file, a pickle of `torch.save` and any other format; ERR_OPTION without
   *   `input`, for an unknown option or a value of another type, for a model that does not take such pictures, that was traced in training mode, that
   *   calls an operator which libtorch does not have or which opens files, and where it is not clear what the features are (several linear layers side
   *   by side, a tuple or dictionary, an unknown name); ERR_SHAPE for class names of another number, and where features or logits are not one row per
   *   picture; ERR_DTYPE where they are not floating numbers; ERR_DEVICE if the device is unavailable; ERR_ABORTED after an abort; ERR_OUT_OF_MEMORY;
   *   ERR_LIBTORCH_NOT_FOUND if libtorch is not installed
   * @example
   * const model = await TorchScriptModel.load("model.pt", { input: "imagenet", features: "layer4", device: "cuda" });
   */
  static load(path: string, options: TorchScriptOptions): Promise<TorchScriptModel> {
    return calledFrom(TorchScriptModel.load, () => TorchScriptModel.#load(path, options));
  }

  static async #load(path: string, options: TorchScriptOptions): Promise<TorchScriptModel> {
    const checked = optionsObject(options, "options", keys);
    const input = checkPreprocessing(checked.input);
    const { features } = checked;
    if (features !== undefined) string(features, "features");
    const names = checked.classNames === undefined ? undefined : checkClassNames(checked.classNames);
    const device = string(checked.device ?? "cpu", "device");
    return TorchScriptModel.#open(string(path, "path"), { input, features, names, device, signal: checked.signal });
  }

  /**
   * @param expected - SHA-256 that the file must have, and who says so
   */
  static async #open(
    path: string,
    options: {
      input: Preprocessing;
      features: string | undefined;
      names: readonly string[] | undefined;
      device: string;
      signal?: AbortSignal;
    },
    expected?: { sha256: string; by: string },
  ): Promise<TorchScriptModel> {
    const { input, features, names, device } = options;
    const signal = optionalSignal(options.signal, "signal");
    return Scope.run(async (scope) => {
      const { bytes, sha256 } = await readHashed(path, signal);
      scope.own(bytes);
      if (expected !== undefined && sha256 !== expected.sha256) {
        throw new LibtorchOodError(
          "ERR_CORRUPT_FILE",
          `${path}: expected the model that ${expected.by} was made with (SHA-256 ${expected.sha256}), found another (${sha256})`,
        );
      }
      const { channels, size } = input;
      const handle = scope.own(
        given(await runNative(signal, (control) => native().TorchScript.load(control, bytes, { path, features, channels, size, device }))),
      );
      const numClasses = handle.numClasses === 0 ? undefined : handle.numClasses;
      if (names !== undefined && numClasses === undefined) {
        throw new LibtorchOodError("ERR_OPTION", "classNames: expected none for a model that gives features alone");
      }
      const classNames = names && Object.freeze(checkClassNames(names, numClasses));
      const stored = { path, sha256, features, input, featureDim: handle.featureDim, numClasses, classNames };
      return new TorchScriptModel(scope.release(handle), stored, device);
    });
  }

  /**
   * @internal Loads the model that a detector's file names.
   *
   * @param detector - path of the detector's file, for messages
   * @throws ERR_CORRUPT_FILE where the file at the path has another SHA-256, and what {@link load} throws
   */
  static restore(detector: string, stored: StoredTorchScript, device: string): Promise<TorchScriptModel> {
    const { path, sha256, features, input, classNames: names } = stored;
    return TorchScriptModel.#open(path, { input, features, names, device }, { sha256, by: detector });
  }

  /** Length d of a feature vector. */
  get featureDim(): number {
    return this.#stored.featureDim;
  }

  /** Number of classes C, which is the number of logits; undefined for a model that gives features alone. */
  get numClasses(): number | undefined {
    return this.#stored.numClasses;
  }

  /** Name of each class, in label order; undefined where none were given. */
  get classNames(): readonly string[] | undefined {
    return this.#stored.classNames;
  }

  /** What becomes of a picture before the model sees it. */
  get input(): Preprocessing {
    return this.#stored.input;
  }

  /**
   * Copies the last linear layer: logits = features · weightᵀ + bias.
   *
   * @returns `weight` [C, d] and `bias` [C], float64; undefined where no linear layer makes logits of the features
   * @throws ERR_DISPOSED after {@link dispose}
   * @example
   * const head = await model.head(); // { weight: [1000, 1024], bias: [1000] }
   */
  head(): Promise<LinearHead | undefined> {
    return calledFrom(this.head, () => {
      const [weight, bias] = callNative(() => this.#native.head()).map(({ tensor }) => new Tensor(tensor));
      return Promise.resolve(weight && bias && { weight, bias });
    });
  }

  /**
   * Computes features and logits of images in one pass.
   *
   * @param images - in any form that {@link ResNet.extract} takes; arrays and Tensors may have any height and width that the model takes
   * @param options - which outputs to compute, and how. `precision: "bfloat16"` computes with a copy of the weights in bfloat16
   * @throws what {@link ResNet.extract} throws; ERR_OPTION where logits are asked for of a model that gives none; ERR_SHAPE where the model does not
   *   give one row per image; ERR_INTERNAL with the words of libtorch's interpreter where the model fails
   * @example
   * const { features } = await model.extract(test, { outputs: ["features"], batchSize: 32 });
   */
  extract<const Outputs extends readonly ModelOutput[] = DefaultOutputs>(
    images: Images,
    options?: ExtractAllOptions<Outputs>,
  ): Promise<Extraction<Outputs>> {
    return calledFrom(this.extract, () => extractAll(this.#extracted(), images, options));
  }

  /**
   * Computes features and logits of more images than fit in memory: see {@link ResNet.extractStream}.
   *
   * @param source - chunks of images
   * @param sink - function that receives each chunk
   * @param options - which outputs to compute, and how
   * @throws what {@link extract} throws, and what source or sink throws
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

  #extracted(): ExtractedModel {
    const { device, input, numClasses } = this;
    return {
      input,
      engine: async (options) => {
        if (numClasses === undefined && options.outputs.has("logits")) {
          throw new LibtorchOodError("ERR_OPTION", `outputs: expected "features" alone, of a model that gives no logits, found "logits"`);
        }
        const model = callNative(() => this.#native.retain()); // the call goes on where this is disposed of meanwhile
        try {
          const extractor: typeof model.extractor = (control, asked) => model.extractor(control, asked);
          return await nativeEngine({ device, dtype: "float32", normalization: input, normalizes: false, extractor }, options);
        } finally {
          model.dispose();
        }
      },
    };
  }

  /** What the model says of itself. */
  describe(): ExtractorDescription {
    const { path, sha256, features, featureDim, numClasses, input, classNames } = this.#stored;
    const named = features === undefined ? {} : { features };
    return { kind: this.kind, featureDim, numClasses, input, classNames, path, sha256, ...named };
  }

  /** @internal What a detector needs of the model. */
  get [internals](): ExtractorInternals {
    return {
      copy: () => this.#copy(), // of the same weights, which nothing can change
      trainedOn: SeenInputs.none,
      dtype: "float32",
      state: () => Promise.resolve([]),
      stored: () => this.#stored,
    };
  }

  #copy(): Promise<TorchScriptModel> {
    return new Promise((resolve) =>
      resolve(
        new TorchScriptModel(
          callNative(() => this.#native.copy()),
          this.#stored,
          this.device,
        ),
      ),
    );
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
}
