// Runs images through a network for its model outputs: a whole set at once, or a stream chunk by chunk.

import { fail, integer, optionalFunction, optionalSignal, optionsObject, typedArrayName } from "../../core/checks";
import { LibtorchOodError } from "../../core/errors";
import type { ModelOutput } from "../../core/model-outputs";
import { Scope } from "../../core/scope";
import { Dataset, requireDataset } from "../../data/dataset";
import type { Normalization } from "../../data/normalization";
import type { ImageTarget } from "../../images/decode";
import { checkOnError, type ImageFailure, type OnError } from "../../images/failure";
import { workingFolder } from "../../formats/path-text";
import { CallbackGuard, given, runNative } from "../../native/call";
import { checkPrecision, resolvePrecision, warnIfSlow } from "../../native/precision";
import type { NativeExtractor, NativeNormalization, NativeResNet, NativeTensor } from "../../native/surface";
import { Tensor } from "../../native/tensor";
import type { Architecture } from "./architecture";
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
} from "./extract-options";
import { imagesTensor, type Images, type NativeImages } from "./images";
import { ReadAhead } from "./read-ahead";

/** What an extraction reads of a network. */
export interface ExtractedNetwork {
  readonly architecture: Architecture;
  readonly device: string;
  readonly dtype: "float32" | "float64";
  readonly normalization: Normalization | undefined;
  readonly extractor: NativeResNet["extractor"];
}

/** Extracts a whole set of images; `ResNet.extract` documents it. */
export async function extractAll<Outputs extends readonly ModelOutput[]>(
  network: ExtractedNetwork,
  images: Images,
  options: ExtractAllOptions<Outputs> | undefined,
): Promise<Extraction<Outputs>> {
  const checked = optionsObject(options, "extract options", [...extractKeys, "onProgress"]);
  const onProgress = optionalFunction(checked.onProgress, "onProgress");
  const labels = images instanceof Dataset ? Int32Array.from(requireDataset(images, "images").labels) : new Int32Array(0);
  return Scope.run(async (scope) => {
    const input = scope.own(new Input(images, imageTarget(network.architecture, checked), checkOnError(checked.onError)));
    const extractor = scope.own(await extractorOf(network, checked));
    const { tensor, skipped } = await input.taken;
    const extracted = await extractor.extract(tensor, onProgress);
    return { ...extracted, labels, skipped, precision: extractor.precision } as Extraction<Outputs>;
  });
}

/** Extracts a stream chunk by chunk; `ResNet.extractStream` documents it. */
export async function extractChunks<Outputs extends readonly ModelOutput[]>(
  network: ExtractedNetwork,
  source: AsyncIterable<ImageChunk> | Iterable<ImageChunk>,
  sink: (chunk: ExtractionChunk<Outputs>) => unknown,
  options: ExtractOptions<Outputs> | undefined,
): Promise<{ count: number; skipped: ImageFailure[] }> {
  const checked = optionsObject(options, "extract options", extractKeys);
  if (typeof sink !== "function") fail("ERR_OPTION", "sink", "a function", sink);
  const target = imageTarget(network.architecture, checked);
  const onError = checkOnError(checked.onError);
  const folder = workingFolder(); // chunks are read much later
  const reader = new ReadAhead(source, optionalSignal(checked.signal, "signal"));
  let count = 0;
  let imagesBefore = 0;
  const all: ImageFailure[] = [];
  const run = async (scope: Scope): Promise<void> => {
    const extractor = scope.own(await extractorOf(network, checked));
    for (let next = await reader.next(); !next.done; next = await reader.next()) {
      const { images, labels } = labelled(next.value);
      // Taken before the source runs on: it may use one buffer for all chunks.
      const input = new Input(images, target, inStream(onError, imagesBefore), folder);
      reader.prefetch();
      const { skipped, extraction } = await Scope.run(async (reading) => {
        const taken = await reading.own(input).taken;
        return { skipped: taken.skipped, extraction: await extractor.extract(taken.tensor) };
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
        const chunk = { ...extraction, labels: kept, skipped: moved, precision: extractor.precision, offset: count };
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

async function extractorOf(network: ExtractedNetwork, options: AnyExtractOptions): Promise<BoundExtractor> {
  const outputs = checkOutputs(options.outputs ?? defaultOutputs);
  const asked = checkPrecision(options.precision);
  const batchSize = integer(options.batchSize ?? 64, "batchSize", 1, 1 << 20);
  const signal = optionalSignal(options.signal, "signal");
  const normalization = network.normalization;
  if (normalization === undefined) {
    throw new LibtorchOodError("ERR_OPTION", "normalization: the model has none; set model.normalization or train it first");
  }
  const precision = network.dtype === "float64" ? "float64" : resolvePrecision(asked, network.device);
  if (precision !== "float64") warnIfSlow(precision, network.device);
  const handle = await runNative(signal, (control) => network.extractor(control, { precision }));
  const { l2Normalize } = network.architecture;
  return new BoundExtractor(given(handle), precision, { batchSize, normalization }, outputs, l2Normalize, signal);
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
      await Scope.run(async (scope) => {
        scope.ownAll(Object.values(found));
        await guard?.finish(this.signal);
        scope.releaseAll();
      });
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

function labelled(chunk: ImageChunk): { images: Images; labels: Int32Array | undefined } {
  if (chunk instanceof Dataset) return { images: chunk, labels: Int32Array.from(requireDataset(chunk, "images").labels) };
  if (typeof chunk !== "object" || chunk === null || !("images" in chunk && "labels" in chunk)) return { images: chunk, labels: undefined };
  const { images, labels } = chunk;
  if (!ArrayBuffer.isView(labels) || typedArrayName(labels) !== "Int32Array") fail("ERR_DTYPE", "labels", "an Int32Array", labels);
  return { images, labels: Int32Array.from(labels) };
}
