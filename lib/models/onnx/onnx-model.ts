// OnnxModel: a FeatureExtractor over an ONNX file, which onnxruntime runs. The last linear layer is found in the graph.

import { describe } from "../../core/checks";
import { checkClassNames } from "../../core/class-names";
import { isLibtorchOodError, LibtorchOodError } from "../../core/errors";
import { corruptFile } from "../../core/file-errors";
import { check, like, list, object, optionalOrNull, text } from "../../core/schema";
import { checkPreprocessing, type PreprocessingOptions } from "../../data/preprocessing";
import { SeenInputs } from "../../data/seen-inputs";
import { calledFrom } from "../../native/call";
import type { BatchModel } from "../batch-engine";
import { BatchExtractor, type HeadNumbers } from "../batch-extractor";
import { internals, type ExtractorDescription, type ExtractorInternals, type LinearHead, type OwnExtractor } from "../extractor";
import { moreOutputs, readGraph } from "./graph";
import { graphValues } from "./graph-values";
import { headNumbers } from "./head-numbers";
import { externalPath, modelBytes, modelHash } from "./model-file";
import { runBatch, tryNetwork, type NetworkFacts } from "./network";
import { checkOnnxOptions, type CheckedOptions, type OnnxOptions } from "./onnx-options";
import { pixelTable } from "./pixel-table";
import { loadWire, resolveRuntime } from "./runtime";
import { OnnxSession } from "./session";

export type { ExecutionProvider, OnnxOptions } from "./onnx-options";

/** What copies of a model share. */
interface Loaded {
  readonly session: OnnxSession;
  readonly network: NetworkFacts;
  readonly numbers: HeadNumbers | undefined;
  readonly table: Float32Array;
  readonly options: CheckedOptions;
  readonly path: string | undefined;
  readonly sha256: string;
}

/** Ends the process of a model that was collected without a `dispose`. */
const collected = new FinalizationRegistry<OnnxSession>((session) => session.release());

/**
 * A network in an ONNX file, which onnxruntime runs: the optional peers `onnxruntime-node` and `@bufbuild/protobuf` have to be installed. The last linear
 * layer (Gemm, or MatMul and Add) is found in the graph: its input gives the features, its output the logits, and its constants the head.
 *
 * The model runs in a process of its own, which {@link dispose} ends, and so does garbage collection. An ONNX file is a program in a language without
 * access to files or network, but onnxruntime has had faults in reading them: load files only from sources that you trust.
 *
 * @example
 * import { Detector, OnnxModel } from "libtorch-ood";
 *
 * const model = await OnnxModel.load("resnet50.onnx", { input: "imagenet" });
 * const { features, logits } = await model.extract(["cat.jpg", "dog.jpg"]);
 * console.log(features.shape, logits.shape); // [ 2, 2048 ] [ 2, 1000 ]
 */
export class OnnxModel extends BatchExtractor implements OwnExtractor {
  /** Kind of the extractor. */
  readonly kind = "onnx";
  readonly #loaded: Loaded;

  private constructor(loaded: Loaded) {
    const { featureDim, numClasses } = loaded.network;
    const { device, classNames, input } = loaded.options;
    super({ device, featureDim, numClasses, classNames, input }, "model");
    this.#loaded = loaded;
    collected.register(this, loaded.session, this);
  }

  /**
   * Loads a model and tries it on a batch of zeros.
   *
   * Float32 networks of one input [N, C, H, W] are supported, with a free or fixed batch dimension, and with weights in the file or in files beside it.
   * A model of embeddings alone has no last layer that makes logits: name its output as `features`.
   *
   * @param model - path of the .onnx file, or its bytes. A detector's file can name a model with a path only
   * @param options - what becomes of a picture first, which is required; names of values, classes, and how to compute
   * @throws ERR_ONNXRUNTIME_NOT_FOUND where `onnxruntime-node` or `@bufbuild/protobuf` is not installed; ERR_IO where a file cannot be read;
   *   ERR_CORRUPT_FILE for anything but an ONNX model; ERR_OPTION for a model without a linear layer behind its outputs, or with several, where `features`
   *   names no value, for one with operators or of a version that onnxruntime lacks, for an unknown option and for a value of another type; ERR_SHAPE for
   *   images that the model does not take, values that are not one row per image, and class names that are not one per class; ERR_DTYPE for a model whose
   *   input is not float32 or whose outputs are no floats; ERR_ABORTED after an abort
   */
  static load(model: string | Uint8Array, options: OnnxOptions): Promise<OnnxModel> {
    return calledFrom(OnnxModel.load, () => OnnxModel.#load(model, checkOnnxOptions(options)));
  }

  static async #load(source: string | Uint8Array, options: CheckedOptions, requireHash?: (found: string) => void): Promise<OnnxModel> {
    const [runtime, wire] = [resolveRuntime(), loadWire()];
    const model = await modelBytes(source);
    const { name, bytes, folder, path } = model;
    const graph = readGraph(bytes, name, wire);
    const values = graphValues(graph, options, name);
    const sha256 = await modelHash(model, graph.externalFiles, options.signal);
    requireHash?.(sha256);
    const numbers = values.layer && (await headNumbers(values.layer, name, wire, (location) => externalPath(model, location)));
    const wanted = [...new Set([values.features, ...(values.logits === undefined ? [] : [values.logits])])];
    const hidden = wanted.filter((value) => !graph.outputs.includes(value));
    const sessionOptions = {
      executionProviders: options.executionProviders,
      intraOpNumThreads: options.threads,
      logSeverityLevel: 3,
      extra: folder === undefined ? undefined : { session: { model_external_initializers_file_folder_path: folder } },
    };
    const parts = hidden.length === 0 ? [bytes] : [bytes, moreOutputs(wire, hidden)];
    const session = await OnnxSession.load(runtime, parts, sessionOptions, (words) => refusal(name, words), options.signal);
    try {
      const network = await tryNetwork(session, values, options.input, name);
      if (options.classNames !== undefined) checkClassNames(options.classNames, network.numClasses ?? options.classNames.length);
      const table = await pixelTable(options.input, options.signal);
      return new OnnxModel({ session, network, numbers, table, options, path, sha256 });
    } catch (error) {
      session.release();
      throw error;
    }
  }

  /**
   * @internal Loads the model that a detector's file names.
   *
   * @throws ERR_CORRUPT_FILE where the detector's file says something else than it should, or the model has changed since; what {@link load} throws
   */
  static async restore(detectorPath: string, stored: unknown, device: string): Promise<OnnxModel> {
    const { path, sha256, ...options } = storedModel(detectorPath, stored);
    try {
      return await OnnxModel.#load(path, checkOnnxOptions({ ...options, device }), (found) => {
        if (found === sha256) return;
        throw new LibtorchOodError(
          "ERR_CORRUPT_FILE",
          `${path}: expected the model that ${detectorPath} was made with (SHA-256 ${sha256}), found another one (${found})`,
        );
      });
    } catch (error) {
      if (!isLibtorchOodError(error) || error.code !== "ERR_IO") throw error;
      throw new LibtorchOodError("ERR_IO", `${detectorPath} needs its model: ${error.message}`, { cause: error });
    }
  }

  protected begin() {
    const { network, table } = this.#loaded;
    const session = this.#loaded.session.retain();
    const run: BatchModel["run"] = (batch, outputs) => runBatch(session, network, table, batch, outputs);
    return Promise.resolve({ run, batchSize: network.batchSize, takesPixels: true, end: () => session.release() });
  }

  /**
   * Copies the last layer: undefined for a model without one, and where weight or bias are not plain constants (quantised weights are not read).
   *
   * @returns `weight` [C, d] and `bias` [C], float64
   * @throws ERR_DISPOSED after {@link dispose}
   */
  head(): Promise<LinearHead | undefined> {
    return this.headOf(this.#loaded.numbers);
  }

  /** What the model says of itself. `sha256` is over the file and the files beside it that hold its weights. */
  describe(): ExtractorDescription {
    const { kind, featureDim, numClasses, input, classNames } = this;
    const { path, sha256, options } = this.#loaded;
    return { kind, featureDim, numClasses, input, classNames, path, sha256, features: options.features, logits: options.logits };
  }

  /** @internal What a detector needs of the model. */
  get [internals](): ExtractorInternals {
    return {
      copy: () => this.whileLive(() => new OnnxModel({ ...this.#loaded, session: this.#loaded.session.retain() })),
      trainedOn: SeenInputs.none,
      dtype: "float32",
      state: () => Promise.resolve([]),
      stored: () => this.describe(),
    };
  }

  /** Ends the model's process. Calls in flight end as they would; later calls throw ERR_DISPOSED; a second `dispose` does nothing. */
  override dispose(): void {
    if (this.disposed) return;
    super.dispose();
    collected.unregister(this);
    this.#loaded.session.release();
  }
}

/** onnxruntime's refusal of a model. Its words tell a file that is damaged from one that it is too old for. */
function refusal(name: string, words: string): LibtorchOodError {
  if (/no op registered|not a registered|not implemented|unsupported|opset|not found|provider|IR.?version|external/i.test(words)) {
    return new LibtorchOodError("ERR_OPTION", `${name}: onnxruntime does not run this model: ${words}`);
  }
  return corruptFile(name, "an ONNX model", `one that onnxruntime refuses: ${words}`);
}

const storedSchema = object({
  path: text,
  sha256: text,
  input: like("a preprocessing", (value) => checkPreprocessing(value as PreprocessingOptions)),
  features: optionalOrNull(text),
  logits: optionalOrNull(text),
  classNames: optionalOrNull(list(text)),
});

function storedModel(detectorPath: string, stored: unknown) {
  return check(storedSchema, stored, (place, expected, found) => {
    throw corruptFile(detectorPath, `${expected} as the model's ${place || "description"}`, describe(found));
  });
}
