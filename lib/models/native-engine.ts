// Runs batches of images through the folded copy of a ResNet, or another native module of the same surface.

import { LibtorchOodError } from "../core/errors";
import { Scope } from "../core/scope";
import type { ModelOutput } from "../core/model-outputs";
import type { Normalization } from "../data/normalization";
import { CallbackGuard, given, runNative } from "../native/call";
import { resolvePrecision, warnIfSlow } from "../native/precision";
import type { NativeExtractor, NativeResNet, NativeTensor } from "../native/surface";
import { Tensor } from "../native/tensor";
import type { ExtractedOutputs } from "./extract-options";
import type { Engine, EngineOptions } from "./extraction";

/** What an engine reads of a native network. */
export interface NativeModel {
  readonly device: string;
  readonly dtype: "float32" | "float64";
  readonly normalization: Normalization | undefined;
  /** Whether raw features and features differ. */
  readonly normalizes: boolean;
  readonly extractor: NativeResNet["extractor"];
}

/** Snapshot of a native network for one call. @throws ERR_OPTION without normalisation constants; what the native call throws */
export async function nativeEngine(model: NativeModel, options: EngineOptions): Promise<Engine> {
  const { normalization } = model;
  if (normalization === undefined) {
    throw new LibtorchOodError("ERR_OPTION", "normalization: the model has none; set model.normalization or train it first");
  }
  const precision = model.dtype === "float64" ? "float64" : resolvePrecision(options.precision, model.device);
  if (precision !== "float64") warnIfSlow(precision, model.device);
  const handle = given(await runNative(options.signal, (control) => model.extractor(control, { precision })));
  return {
    precision,
    extract: (images, onProgress) => extractBy(handle, images, { ...options, normalization, normalizes: model.normalizes }, onProgress),
    dispose: () => handle.dispose(),
  };
}

async function extractBy(
  handle: NativeExtractor,
  images: NativeTensor,
  { outputs: wanted, batchSize, normalization, normalizes, signal }: EngineOptions & { normalization: Normalization; normalizes: boolean },
  onProgress: Parameters<Engine["extract"]>[1],
): Promise<ExtractedOutputs> {
  const raw = wanted.has("rawFeatures");
  const outputs = {
    features: wanted.has("features") || (raw && !normalizes),
    rawFeatures: raw && normalizes,
    logits: wanted.has("logits"),
  };
  let guard: CallbackGuard | undefined;
  try {
    const total = images.shape[0] ?? 0;
    const found = await runNative(signal, (control) => {
      guard = new CallbackGuard(() => control.cancel());
      const report = onProgress && guard.wrap((done: number) => onProgress(done, total));
      return handle.extract(control, images, { batchSize, normalization, outputs }, report && ((done) => void report(done)));
    });
    await Scope.run(async (scope) => {
      scope.ownAll(Object.values(found));
      await guard?.finish(signal);
      scope.releaseAll();
    });
    const extracted: ExtractedOutputs = {};
    for (const [name, tensor] of Object.entries(found) as [ModelOutput, NativeTensor][]) extracted[name] = new Tensor(tensor);
    if (extracted.features !== undefined && !normalizes) extracted.rawFeatures = extracted.features;
    return extracted;
  } catch (error) {
    guard?.rethrow();
    throw error;
  }
}
