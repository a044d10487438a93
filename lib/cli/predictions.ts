// Predictions of a detector for many inputs, chunk by chunk and in order: the next chunk is computed while one is written.

import { Scope } from "../core/scope";
import type { Dataset } from "../data";
import type { Detector, Prediction } from "../detector/detector";
import { located } from "../core/located";
import type { ImageFailure, Truncated } from "../images/failure";
import type { ModelOutputs } from "../scores";
import type { Tensor } from "../native/tensor";
import type { ListedImage } from "./image-files";

/** Number of inputs at once: large enough that preparing the network, once per call, costs little beside them. */
const piece = 256;

/** The result of one image: a prediction, or the error that says why there is none. */
export type Outcome = { readonly prediction: Prediction } | { readonly error: { readonly code: string; readonly message: string } };

export interface PredictionOptions {
  falseAlarmRate?: number;
  batchSize?: number;
  maxPixels?: number;
  truncated?: Truncated;
  signal: AbortSignal;
}

/** Predictions of image files. One that cannot be read or decoded does not affect the others. @throws what `detector.predict` throws for other reasons */
export async function* predictFiles(
  detector: Detector,
  files: readonly ListedImage[],
  options: PredictionOptions,
): AsyncGenerator<{ offset: number; outcomes: Outcome[] }> {
  const outcomes = async (images: readonly (string | URL)[]): Promise<Outcome[]> => {
    const failures = new Map<number, ImageFailure>();
    const onError = (failure: ImageFailure): void => void failures.set(failure.index, failure);
    const predictions = (await detector.predict(images, { ...options, onError })).values();
    return images.map((_, index) => {
      const failure = failures.get(index);
      if (failure !== undefined) return { error: { code: failure.code, message: failure.reason } };
      return { prediction: predictions.next().value as Prediction };
    });
  };
  const images = files.map(({ image }) => image);
  for await (const { offset, result } of inOrder(pieces(files.length), ([start, end]) => outcomes(images.slice(start, end)))) {
    yield { offset, outcomes: result };
  }
}

/** Predictions of a data set, or of model outputs from files, whose errors begin with `where`. */
export async function* predictRows(
  detector: Detector,
  rows: Dataset | ModelOutputs,
  options: PredictionOptions,
  where = "",
): AsyncGenerator<{ offset: number; predictions: Prediction[] }> {
  const data = "images" in rows ? rows : undefined;
  const count = data?.length ?? ((rows as ModelOutputs)[detector.needs[0] as keyof ModelOutputs] as Tensor).shape[0] ?? 0;
  const predict = async ([start, end]: readonly [number, number]): Promise<Prediction[]> => {
    if (data !== undefined) {
      const pixels = data.images.length / data.length;
      return detector.predict({ data: data.images.subarray(start * pixels, end * pixels), shape: [end - start, ...data.shape] }, options);
    }
    return Scope.run((scope) => {
      const slices = detector.needs.map((kind) => [kind, scope.own(((rows as ModelOutputs)[kind] as Tensor).slice(start, end))] as const);
      return located(where, detector.predict(Object.fromEntries(slices), options), start);
    });
  };
  for await (const { offset, result } of inOrder(pieces(count), predict)) yield { offset, predictions: result };
}

function pieces(count: number): (readonly [number, number])[] {
  return Array.from({ length: Math.ceil(count / piece) }, (_, i) => [i * piece, Math.min((i + 1) * piece, count)] as const);
}

/** The results in order; while one is used, the next is computed. */
async function* inOrder<T>(
  ranges: readonly (readonly [number, number])[],
  work: (range: readonly [number, number]) => Promise<T>,
): AsyncGenerator<{ offset: number; result: T }> {
  const start = (i: number): Promise<T> | undefined => {
    const range = ranges[i];
    const promise = range && work(range);
    promise?.catch(() => undefined); // it is awaited later, and reported then
    return promise;
  };
  let next = start(0);
  for (const [i, [offset]] of ranges.entries()) {
    const current = next as Promise<T>;
    next = start(i + 1);
    yield { offset, result: await current };
  }
}
