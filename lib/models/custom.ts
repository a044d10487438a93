// defineExtractor: a FeatureExtractor over a function of the user, such as a network of another library or an HTTP service.

import { fail, integer, optionsObject, string } from "../core/checks";
import { checkClassNames } from "../core/class-names";
import { LibtorchOodError } from "../core/errors";
import { checkPreprocessing, type PreprocessingName, type PreprocessingOptions } from "../data/preprocessing";
import { SeenInputs } from "../data/seen-inputs";
import { toTensor, type ArrayWithShape, type Tensor } from "../native/tensor";
import type { BatchModel } from "./batch-engine";
import { BatchExtractor, type HeadNumbers, type ModelFacts } from "./batch-extractor";
import { requireFinite, type BatchRows, type RowArray } from "./batch-rows";
import { internals, type ExtractorDescription, type ExtractorInternals, type LinearHead, type OwnExtractor } from "./extractor";
import type { ImageBatch } from "./image-batch";

/** What the function of {@link defineExtractor} gives for a batch of n images. */
export interface EmbeddedBatch {
  /** Features, [n, d]. */
  features: BatchRows;
  /** Logits, [n, C]; for an extractor of a stated number of classes. */
  logits?: BatchRows;
}

/** Options of {@link defineExtractor}. */
export interface ExtractorOptions {
  /** Name of the model; files and descriptions keep it. */
  name: string;
  /** Length d of a feature vector. */
  featureDim: number;
  /** Number of classes C. Default: that of `classNames`; without either, the function gives features alone. */
  numClasses?: number;
  /** Name of each class, in label order. */
  classNames?: readonly string[];
  /** What becomes of a picture before the function sees it, or the name of one of the {@link datasets.preprocessings}. */
  input: PreprocessingOptions | PreprocessingName;
  /** The last layer, for scores that look at it (such as `"vim"`): weight [C, d] and bias [C], which is 0 where it is not given. It is copied. */
  head?: {
    /** Weight matrix, [C, d]. */
    weight: Tensor | ArrayWithShape;
    /** Bias vector, [C]. Default: zeros. */
    bias?: Tensor | ArrayWithShape;
  };
  /**
   * Computes a batch. The next batch is asked for when this one's promise has settled. The function need not return different arrays each time; they are
   * copied before it is called again. `logits` may be left out where the caller asked for features alone (`outputs.logits` is false).
   */
  embed: (
    batch: ImageBatch,
    outputs: { readonly features: boolean; readonly logits: boolean },
  ) => EmbeddedBatch | PromiseLike<EmbeddedBatch>;
}

const keys = ["name", "featureDim", "numClasses", "classNames", "input", "head", "embed"] as const;

/** Largest length of a feature vector and number of classes. */
const maxWidth = 1 << 24;

/**
 * Makes a {@link FeatureExtractor} of a function: batches of pictures in, rows of features (and logits) out. {@link Detector.fit}, scores and the command
 * line's parts take it as they take a network of this library.
 *
 * One batch at a time is computed; the next one is normalised meanwhile. Rows are checked: their number, width, dtype and finiteness. An error that the
 * function throws ends the call as it is. An abort ends the call at once, also while the function's promise is pending; `batch.signal` tells the function.
 *
 * A detector's file keeps name, dimensions, `input` and class names, but no function: `Detector.load` is given the extractor again.
 *
 * @param options - the facts of the model and the function
 * @throws ERR_OPTION for an unknown option or a value of another type; ERR_RANGE for a number outside its range; ERR_SHAPE for a head, class names or
 *   normalisation constants that do not fit; ERR_NON_FINITE for NaN and infinity in the head
 * @example
 * import { defineExtractor } from "libtorch-ood";
 *
 * const model = defineExtractor({
 *   name: "mean-colours",
 *   featureDim: 3,
 *   input: { size: 64, mean: [0, 0, 0], std: [1, 1, 1] },
 *   embed: ({ count, shape: [, channels, height, width], data }) => {
 *     const features = new Float32Array(count * channels);
 *     const plane = height * width;
 *     for (let i = 0; i < data.length; i++) features[Math.floor(i / plane)] += data[i] / plane;
 *     return { features };
 *   },
 * });
 * const { features } = await model.extract(["a.jpg", "b.jpg"], { outputs: ["features"] });
 * console.log(features.shape); // [ 2, 3 ]
 */
export function defineExtractor(options: ExtractorOptions): CustomExtractor {
  const given = optionsObject(options, "options", keys);
  const name = string(given.name, "name");
  const featureDim = integer(given.featureDim, "featureDim", 1, maxWidth);
  const stated = given.numClasses === undefined ? undefined : integer(given.numClasses, "numClasses", 1, maxWidth);
  const classNames = given.classNames === undefined ? undefined : Object.freeze(checkClassNames(given.classNames, stated));
  const numClasses = stated ?? classNames?.length;
  const input = checkPreprocessing(given.input);
  const { embed } = given;
  if (typeof embed !== "function") fail("ERR_OPTION", "embed", "a function", embed);
  const head = given.head === undefined ? undefined : headNumbers(given.head, featureDim, numClasses);
  return new CustomExtractor(name, { device: "cpu", featureDim, numClasses, classNames, input }, head, embed);
}

/** What {@link defineExtractor} makes. */
export class CustomExtractor extends BatchExtractor implements OwnExtractor {
  /** Kind of the extractor. */
  readonly kind = "custom";

  /** @internal Use {@link defineExtractor}. */
  constructor(
    /** The name that the extractor was given. */
    readonly name: string,
    facts: ModelFacts,
    private readonly numbers: HeadNumbers | undefined,
    private readonly embed: ExtractorOptions["embed"],
  ) {
    super(facts, "extractor");
  }

  protected begin() {
    const { embed } = this;
    const run: BatchModel["run"] = (batch, outputs) => embed(batch, outputs);
    return Promise.resolve({ run, end: () => undefined });
  }

  /** Copies the last layer; undefined where `defineExtractor` was given none. @throws ERR_DISPOSED after {@link dispose} */
  head(): Promise<LinearHead | undefined> {
    return this.headOf(this.numbers);
  }

  /** What the extractor says of itself. */
  describe(): ExtractorDescription {
    const { kind, name, featureDim, numClasses, input, classNames } = this;
    return { kind, name, featureDim, numClasses, input, classNames };
  }

  /** @internal What a detector needs of the extractor. */
  get [internals](): ExtractorInternals {
    return {
      copy: () => this.whileLive(() => new CustomExtractor(this.name, this.facts, this.numbers, this.embed)),
      trainedOn: SeenInputs.none,
      dtype: "float32",
      state: () => Promise.resolve([]),
      stored: () => this.describe(),
    };
  }
}

function headNumbers(given: NonNullable<ExtractorOptions["head"]>, featureDim: number, numClasses: number | undefined): HeadNumbers {
  if (numClasses === undefined) throw new LibtorchOodError("ERR_OPTION", "head: expected numClasses or classNames beside it");
  const head = optionsObject(given, "head", ["weight", "bias"]);
  return {
    weight: numbers(head.weight, "head.weight", [numClasses, featureDim]),
    bias: head.bias === undefined ? new Float64Array(numClasses) : numbers(head.bias, "head.bias", [numClasses]),
  };
}

function numbers(given: Tensor | ArrayWithShape, name: string, expected: readonly number[]): Float64Array {
  const tensor = toTensor(given, name);
  const { shape, dtype } = tensor;
  if (dtype !== "float32" && dtype !== "float64") fail("ERR_DTYPE", name, "float32 or float64", dtype);
  if (shape.length !== expected.length || shape.some((size, i) => size !== expected[i])) {
    throw new LibtorchOodError("ERR_SHAPE", `${name}: expected [${expected.join(", ")}], found [${shape.join(", ")}]`);
  }
  const values = Float64Array.from(tensor.toArray() as RowArray);
  if (tensor !== given) tensor.dispose();
  requireFinite(values, name, expected[1] ?? 1, 0);
  return values;
}
