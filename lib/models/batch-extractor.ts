// What extractors over a model outside libtorch share: the interface's facts, extraction through the batch engine, and disposal.

import { LibtorchOodError } from "../core/errors";
import type { ModelOutput } from "../core/model-outputs";
import type { Preprocessing } from "../data/preprocessing";
import { calledFrom } from "../native/call";
import { Tensor } from "../native/tensor";
import { batchEngine, type BatchModel } from "./batch-engine";
import type { DefaultOutputs, ExtractAllOptions, Extraction, ExtractionChunk, ExtractOptions, ImageChunks } from "./extract-options";
import { extractAll, extractChunks, type ExtractedModel } from "./extraction";
import type { LinearHead } from "./extractor";
import type { ImageFailure } from "../images/failure";
import type { Images } from "./images";

/** The last layer in JavaScript memory, float64: weight [C, d] row-major and bias [C]. */
export interface HeadNumbers {
  readonly weight: Float64Array;
  readonly bias: Float64Array;
}

/** Facts of a model, as far as every kind has them. */
export interface ModelFacts {
  /** Where detectors compute on the model's outputs. */
  readonly device: string;
  readonly featureDim: number;
  readonly numClasses: number | undefined;
  readonly classNames: readonly string[] | undefined;
  readonly input: Preprocessing;
}

/** An extractor whose batches run outside libtorch. A subclass gives {@link begin}, which makes the model of one call. */
export abstract class BatchExtractor {
  #disposed = false;

  /** @internal */
  protected constructor(
    /** @internal */
    protected readonly facts: ModelFacts,
    /** What errors call the extractor. */
    private readonly noun: string,
  ) {}

  /** Device that computes: "cpu", "cuda" or "cuda:N". The outputs arrive in host memory. */
  get device(): string {
    return this.facts.device;
  }

  /** Length d of a feature vector. */
  get featureDim(): number {
    return this.facts.featureDim;
  }

  /** Number of classes C, which is the number of logits; undefined for a model that gives features alone. */
  get numClasses(): number | undefined {
    return this.facts.numClasses;
  }

  /** Name of each class, in label order; undefined where they are unknown. */
  get classNames(): readonly string[] | undefined {
    return this.facts.classNames;
  }

  /** What becomes of a picture before the model sees it. */
  get input(): Preprocessing {
    return this.facts.input;
  }

  /** @internal What computes the batches of one call, and what the end of the call gives back. */
  protected abstract begin(): Promise<Pick<BatchModel, "run" | "batchSize" | "takesPixels"> & { readonly end: () => void }>;

  /**
   * Computes outputs of images in one pass. Batches run one after the other; the next one is normalised meanwhile.
   *
   * @param images - in any form that {@link ResNet.extract} takes
   * @param options - which outputs to compute, and how. `precision` is without effect: the model computes in the precision that it has
   * @throws what {@link ResNet.extract} throws; ERR_OPTION where logits are asked for of a model that gives none; ERR_SHAPE, ERR_DTYPE and ERR_NON_FINITE,
   *   naming the batch, where the model gives anything but finite rows of the stated width
   */
  extract<const Outputs extends readonly ModelOutput[] = DefaultOutputs>(
    images: Images,
    options?: ExtractAllOptions<Outputs>,
  ): Promise<Extraction<Outputs>> {
    return calledFrom(this.extract, async () => extractAll(this.#extracted(), images, options));
  }

  /**
   * Computes outputs of more images than fit in memory: see {@link ResNet.extractStream}.
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
    return calledFrom(this.extractStream, async () => extractChunks(this.#extracted(), source, sink, options));
  }

  #extracted(): ExtractedModel {
    const { featureDim, numClasses, input } = this;
    return {
      input,
      engine: async (options) => {
        this.#requireLive();
        const { end, ...model } = await this.begin();
        return batchEngine({ featureDim, numClasses, input, ...model }, options, end);
      },
    };
  }

  #requireLive(): void {
    if (this.#disposed) throw new LibtorchOodError("ERR_DISPOSED", `the ${this.noun} has been disposed`);
  }

  /** @internal What `body` gives. Rejects with ERR_DISPOSED after {@link dispose}. */
  protected async whileLive<T>(body: () => T | Promise<T>): Promise<T> {
    this.#requireLive();
    return body();
  }

  /** @internal */
  protected headOf(numbers: HeadNumbers | undefined): Promise<LinearHead | undefined> {
    return this.whileLive(() => {
      if (numbers === undefined) return undefined;
      const { weight, bias } = numbers;
      return { weight: Tensor.from(weight, [bias.length, this.featureDim]), bias: Tensor.from(bias) };
    });
  }

  /** Frees what the extractor holds. Calls in flight end as they would; later calls throw ERR_DISPOSED; a second `dispose` does nothing. */
  dispose(): void {
    this.#disposed = true;
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
