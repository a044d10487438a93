// Runs images through a model outside libtorch, batch by batch: one batch is computed while the next is normalised, and rows go into one Tensor.

import { setImmediate as turn } from "node:timers/promises";
import { LibtorchOodError, isLibtorchOodError } from "../core/errors";
import { Scope } from "../core/scope";
import type { Preprocessing } from "../data/preprocessing";
import { abortError, callNative, CallbackGuard, untilAborted } from "../native/call";
import { native, type NativeTensor } from "../native/surface";
import { Tensor } from "../native/tensor";
import { inBatch, requireFinite, rowElements, type RowArray } from "./batch-rows";
import type { ExtractedOutputs } from "./extract-options";
import type { Engine, EngineOptions } from "./extraction";
import { batchName, OwnedBatch, type BatchRange, type ImageBatch } from "./image-batch";

/** What an engine needs of a model. */
export interface BatchModel {
  readonly input: Preprocessing;
  readonly featureDim: number;
  readonly numClasses: number | undefined;
  /** The number of images that every batch but the last has, whatever the caller asks for; undefined where any will do. */
  readonly batchSize?: number | undefined;
  /** Whether it normalises the pixels of uint8 images itself, and wants no `data` of them. */
  readonly takesPixels?: boolean;
  /** Computes a batch. What it gives is checked; what it throws ends the call as it is. */
  run(batch: ImageBatch, outputs: { features: boolean; logits: boolean }): unknown;
}

/** Numbers that are checked and stored before the event loop turns: about a millisecond. */
const elementsPerTurn = 1 << 18;

type Name = "features" | "logits";

/**
 * Runs the batches of one call.
 *
 * @param end - called once when the call has ended, or cannot begin
 * @throws ERR_OPTION where logits are asked for of a model without them
 */
export function batchEngine(model: BatchModel, options: EngineOptions, end: () => void): Engine {
  const { outputs } = options;
  if (outputs.has("logits") && model.numClasses === undefined) {
    end();
    throw new LibtorchOodError("ERR_OPTION", `outputs: expected "features" alone, of a model that gives no logits, found "logits"`);
  }
  const wanted = { features: outputs.has("features") || outputs.has("rawFeatures"), logits: outputs.has("logits") };
  return {
    precision: "float32",
    extract: (images, onProgress) => Scope.run((scope) => extractBy(model, scope, images, { ...options, wanted }, onProgress)),
    dispose: end,
  };
}

async function extractBy(
  model: BatchModel,
  scope: Scope,
  images: NativeTensor,
  { wanted, batchSize, signal }: EngineOptions & { wanted: Record<Name, boolean> },
  onProgress: Parameters<Engine["extract"]>[1],
): Promise<ExtractedOutputs> {
  requireImages(images.shape, model.input);
  const total = images.shape[0] as number;
  const widths: Record<Name, number> = { features: model.featureDim, logits: model.numClasses ?? 0 };
  const names = (["features", "logits"] as const).filter((name) => wanted[name]);
  const collected = names.map((name) => {
    const handle = callNative(() => new (native().Tensor)(null, [total, widths[name]], "float32"));
    return [name, scope.own(handle)] as const;
  });
  const guard = new CallbackGuard(() => undefined);
  const report = onProgress && guard.wrap(onProgress);
  const reader = scope.own(new NextBatch(images, model, model.batchSize ?? batchSize, signal));
  for (let next = await reader.next(); next !== undefined; next = await reader.next()) {
    const { batch, range } = next;
    try {
      reader.prefetch();
      // Called in a promise, so that what it throws at once is treated as what it rejects with.
      const given = await untilAborted(new Promise((resolve) => resolve(model.run(batch, wanted))), signal);
      await checked(range, () => store(given, range, widths, collected, signal));
    } finally {
      batch.dispose();
    }
    void report?.(range.end, total);
    guard.rethrow();
  }
  await guard.finish(signal);
  scope.releaseAll();
  const extracted: ExtractedOutputs = {};
  for (const [name, handle] of collected) extracted[name] = new Tensor(handle);
  if (extracted.features !== undefined) extracted.rawFeatures = extracted.features;
  return extracted;
}

/** Checks what the model gave for a batch, and writes it into the matrices. */
async function store(
  given: unknown,
  { start, end }: BatchRange,
  widths: Record<Name, number>,
  collected: readonly (readonly [Name, NativeTensor])[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const outputs = (typeof given === "object" && given !== null ? given : {}) as Partial<Record<Name, unknown>>;
  // Both are taken before anything is awaited: the model may use one buffer for all batches.
  const matrices = collected.map(([name, handle]) => {
    if (outputs[name] === undefined) throw new LibtorchOodError("ERR_OPTION", `${name}: expected one row per image, found none`);
    const elements = rowElements(outputs[name], { name, count: end - start, width: widths[name] });
    return { name, handle, elements };
  });
  if (widths.logits === 0 && outputs.logits !== undefined) {
    throw new LibtorchOodError("ERR_OPTION", "logits: expected none, since the number of classes is not known, found some");
  }
  for (const { name, handle, elements } of matrices) {
    const width = widths[name];
    const rowsPerTurn = Math.max(1, Math.floor(elementsPerTurn / width));
    for (let row = 0; row < end - start; row += rowsPerTurn) {
      if (row > 0) await turn();
      if (signal?.aborted) throw abortError(signal);
      const piece = elements.subarray(row * width, (row + rowsPerTurn) * width);
      requireFinite(piece, name, width, row);
      callNative(() => handle.write((start + row) * width, asFloat32(piece, name, width, row)));
    }
  }
}

function asFloat32(elements: RowArray, name: string, width: number, firstRow: number): Float32Array {
  if (elements.BYTES_PER_ELEMENT === 4) return elements as Float32Array;
  const narrow = new Float32Array(elements);
  requireFinite(narrow, name, width, firstRow); // a float64 may be too large for a float32
  return narrow;
}

async function checked(range: BatchRange, body: () => Promise<void>): Promise<void> {
  try {
    await body();
  } catch (error) {
    throw isLibtorchOodError(error) && error.code !== "ERR_ABORTED" ? inBatch(error, batchName(range)) : error;
  }
}

/** @throws ERR_SHAPE for images that the model does not take */
function requireImages(shape: readonly number[], { channels, size }: Preprocessing): void {
  if (shape.length === 4 && shape[1] === channels && shape[2] === size && shape[3] === size) return;
  throw new LibtorchOodError("ERR_SHAPE", `images: expected [N, ${channels}, ${size}, ${size}], found [${shape.join(", ")}]`);
}

/** Gives the batches in order, and normalises one ahead when asked to. */
class NextBatch {
  #ahead: Promise<{ batch: OwnedBatch; range: BatchRange }> | undefined;
  #index = 0;

  constructor(
    private readonly images: NativeTensor,
    private readonly model: BatchModel,
    private readonly batchSize: number,
    private readonly signal: AbortSignal | undefined,
  ) {}

  prefetch(): void {
    const start = this.#index * this.batchSize;
    const total = this.images.shape[0] as number;
    if (this.#ahead !== undefined || start >= total) return;
    const range = { index: this.#index++, start, end: Math.min(total, start + this.batchSize) };
    this.#ahead = this.#batch(range).then((batch) => ({ batch, range }));
    this.#ahead.catch(() => undefined); // next() reports it; until then it must not count as unhandled
  }

  async #batch(range: BatchRange): Promise<OwnedBatch> {
    const { images, model, signal } = this;
    if (!model.takesPixels || images.dtype !== "uint8") return OwnedBatch.of(images, range, model.input, signal);
    return OwnedBatch.ofPixels(images, range, signal);
  }

  /** The next batch, which the caller disposes of; undefined after the last. */
  async next(): Promise<{ batch: OwnedBatch; range: BatchRange } | undefined> {
    this.prefetch();
    const ahead = this.#ahead;
    this.#ahead = undefined;
    return ahead;
  }

  async dispose(): Promise<void> {
    const ahead = await this.#ahead?.catch(() => undefined);
    ahead?.batch.dispose();
  }
}
