// Runs images through a network for its model outputs: a whole set at once, or a stream chunk by chunk.

import { fail, integer, optionalFunction, optionalSignal, optionsObject, typedArrayName } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import type { ModelOutput } from "../core/model-outputs";
import { Scope } from "../core/scope";
import { Dataset, requireDataset } from "../data/dataset";
import type { Preprocessing } from "../data/preprocessing";
import { isSource, type ImageSource } from "../data/sources/source";
import { workingFolder } from "../formats/path-text";
import type { ImageTarget } from "../images/decode";
import { geometryOf } from "../images/geometry";
import { checkOnError, type ImageFailure, type OnError } from "../images/failure";
import { checkPrecision, type ComputePrecision, type Precision } from "../native/precision";
import type { NativeTensor } from "../native/surface";
import { Tensor } from "../native/tensor";
import {
  checkOutputs,
  defaultOutputs,
  extractKeys,
  imageTarget,
  type AnyExtractOptions,
  type ExtractAllOptions,
  type ExtractedOutputs,
  type Extraction,
  type ExtractionChunk,
  type ExtractOptions,
  type ImageChunk,
  type ImageChunks,
} from "./extract-options";
import { imagesTensor, type Images, type NativeImages } from "./images";
import { ReadAhead } from "./read-ahead";

/** What an extraction needs of a model. */
export interface ExtractedModel {
  /** What becomes of a picture; undefined for a network that has no normalisation constants yet. */
  readonly input: Omit<Preprocessing, "mean" | "std"> & Partial<Pick<Preprocessing, "mean" | "std">>;
  /** Makes what runs the batches of one call: a snapshot of the model as it is now. */
  engine(options: EngineOptions): Promise<Engine>;
}

/** The options of one call, checked. */
export interface EngineOptions {
  readonly outputs: ReadonlySet<ModelOutput>;
  readonly precision: Precision;
  readonly batchSize: number;
  readonly signal: AbortSignal | undefined;
}

/** Runs images through a model, a batch at a time. */
export interface Engine {
  readonly precision: ComputePrecision | "float64";
  /**
   * @param images - uint8, float32 or float64 [N, C, H, W]
   * @param onProgress - function that is told how many images are done; the call ends when the promises that it returned have settled
   * @returns the outputs that were asked for; the caller disposes of them
   */
  extract(images: NativeTensor, onProgress?: (done: number, total: number) => void | Promise<void>): Promise<ExtractedOutputs>;
  dispose(): void;
}

const usualBatchSize = 64;

/** Extracts a whole set of images; `ResNet.extract` documents it. */
export async function extractAll<Outputs extends readonly ModelOutput[]>(
  model: ExtractedModel,
  images: Images,
  options: ExtractAllOptions<Outputs> | undefined,
): Promise<Extraction<Outputs>> {
  const checked = optionsObject(options, "extract options", [...extractKeys, "onProgress"]);
  const onProgress = optionalFunction(checked.onProgress, "onProgress");
  const labels = images instanceof Dataset ? Int32Array.from(requireDataset(images, "images").labels) : new Int32Array(0);
  return Scope.run(async (scope) => {
    const input = scope.own(new Input(images, imageTarget(model.input, checked), checkOnError(checked.onError)));
    const engine = scope.own(await engineOf(model, checked));
    const { tensor, skipped } = await input.taken;
    const extracted = await engine.extract(tensor, onProgress);
    return { ...extracted, labels, skipped, precision: engine.precision } as Extraction<Outputs>;
  });
}

/** Extracts a stream chunk by chunk; `ResNet.extractStream` documents it. */
export async function extractChunks<Outputs extends readonly ModelOutput[]>(
  model: ExtractedModel,
  source: ImageChunks,
  sink: (chunk: ExtractionChunk<Outputs>) => unknown,
  options: ExtractOptions<Outputs> | undefined,
): Promise<{ count: number; skipped: ImageFailure[] }> {
  const checked = optionsObject(options, "extract options", extractKeys);
  if (typeof sink !== "function") fail("ERR_OPTION", "sink", "a function", sink);
  if (isSource(source)) return extractSource(model, source, sink, checked);
  const target = imageTarget(model.input, checked);
  const onError = checkOnError(checked.onError);
  const folder = workingFolder(); // chunks are read much later
  const reader = new ReadAhead(source, optionalSignal(checked.signal, "signal"));
  let count = 0;
  let imagesBefore = 0;
  const all: ImageFailure[] = [];
  const run = async (scope: Scope): Promise<void> => {
    const engine = scope.own(await engineOf(model, checked));
    for (let next = await reader.next(); !next.done; next = await reader.next()) {
      const { images, labels } = labelled(next.value);
      // Taken before the source runs on: it may use one buffer for all chunks.
      const input = new Input(images, target, inStream(onError, imagesBefore), folder);
      reader.prefetch();
      const { skipped, extraction } = await Scope.run(async (reading) => {
        const taken = await reading.own(input).taken;
        return { skipped: taken.skipped, extraction: await engine.extract(taken.tensor) };
      });
      await Scope.run(async (handing) => {
        handing.ownAll(Object.values(extraction));
        const rows = rowsOf(extraction);
        const total = rows + skipped.length;
        if (labels !== undefined && labels.length !== total) {
          throw new LibtorchOodError("ERR_SHAPE", `labels: expected ${total}, one per image, found ${labels.length}`);
        }
        const left = new Set(skipped.map(({ index }) => index));
        const kept = labels === undefined ? new Int32Array(0) : left.size === 0 ? labels : labels.filter((_, i) => !left.has(i));
        const moved = skipped.map((failure) => ({ ...failure, index: failure.index + imagesBefore }));
        for (const failure of moved) all.push({ ...failure });
        const chunk = { ...extraction, labels: kept, skipped: moved, precision: engine.precision, offset: count };
        await sink(chunk as ExtractionChunk<Outputs>);
        count += rows;
        imagesBefore += total;
      });
    }
  };
  try {
    await Scope.run(run);
    return { count, skipped: all };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** Extracts a source batch by batch: the source decodes ahead by itself. */
async function extractSource(
  model: ExtractedModel,
  source: ImageSource,
  sink: (chunk: never) => unknown,
  options: AnyExtractOptions,
): Promise<{ count: number; skipped: ImageFailure[] }> {
  const { maxPixels, truncated = "refuse", ...input } = imageTarget(model.input, options);
  const signal = optionalSignal(options.signal, "signal");
  const onError = checkOnError(options.onError);
  return Scope.run(async (scope) => {
    const engine = scope.own(await engineOf(model, options));
    const batchSize = integer(options.batchSize ?? usualBatchSize, "batchSize", 1, 1 << 20);
    const given = { truncated, ...(maxPixels === undefined ? {} : { maxPixels }), ...(signal === undefined ? {} : { signal }) };
    const all: ImageFailure[] = [];
    let count = 0;
    for await (const { images, labels, skipped } of source.batches({ batchSize, input: geometryOf(input), onError, ...given })) {
      await Scope.run(async (handing) => {
        handing.own(images);
        const extraction = await engine.extract(Tensor.handle(images, "images"));
        handing.ownAll(Object.values(extraction));
        const known = labels.some((label) => label >= 0);
        all.push(...skipped.map((failure) => ({ ...failure })));
        const facts = { labels: known ? labels : new Int32Array(0), skipped, precision: engine.precision, offset: count };
        await sink({ ...extraction, ...facts } as never);
        count += labels.length;
      });
    }
    return { count, skipped: all };
  });
}

function engineOf(model: ExtractedModel, options: AnyExtractOptions): Promise<Engine> {
  return model.engine({
    outputs: checkOutputs(options.outputs ?? defaultOutputs),
    precision: checkPrecision(options.precision),
    batchSize: integer(options.batchSize ?? usualBatchSize, "batchSize", 1, 1 << 20),
    signal: optionalSignal(options.signal, "signal"),
  });
}

function rowsOf(extracted: ExtractedOutputs): number {
  return Object.values(extracted)[0]?.shape[0] ?? 0;
}

/** The images of one extraction, taken when this is made. */
class Input {
  readonly taken: Promise<NativeImages>;

  constructor(images: Images, target: ImageTarget, onError: OnError, folder?: string) {
    this.taken = imagesTensor(images, "images", target, onError, folder);
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

function labelled(chunk: ImageChunk): { images: Images; labels: Int32Array | undefined } {
  if (chunk instanceof Dataset) return { images: chunk, labels: Int32Array.from(requireDataset(chunk, "images").labels) };
  if (typeof chunk !== "object" || chunk === null || !("images" in chunk && "labels" in chunk)) return { images: chunk, labels: undefined };
  const { images, labels } = chunk;
  if (!ArrayBuffer.isView(labels) || typedArrayName(labels) !== "Int32Array") fail("ERR_DTYPE", "labels", "an Int32Array", labels);
  return { images, labels: Int32Array.from(labels) };
}
