// Options of an ONNX model and their checks.

import { availableParallelism } from "node:os";
import { fail, integer, oneOf, optionalSignal, optionsObject, string } from "../../core/checks";
import { checkClassNames } from "../../core/class-names";
import { shortList } from "../../core/lists";
import { checkPreprocessing, type Preprocessing, type PreprocessingName, type PreprocessingOptions } from "../../data/preprocessing";

/** Name of an execution provider of onnxruntime. */
export type ExecutionProvider = "cpu" | "cuda" | "tensorrt" | "dml" | "coreml" | "webgpu";

const executionProviders = ["cpu", "cuda", "tensorrt", "dml", "coreml", "webgpu"] as const;

/** Options of {@link OnnxModel.load}. */
export interface OnnxOptions {
  /** What the model's training did to its pictures in evaluation, or the name of one of the {@link datasets.preprocessings}. */
  input: PreprocessingOptions | PreprocessingName;
  /** Name of the value in the graph that gives the features, [N, d]. Default: the input of the last linear layer. */
  features?: string;
  /** Name of the value in the graph that gives the logits, [N, C]. Default: the output of the last linear layer, where the model has one. */
  logits?: string;
  /** Name of each class, in label order. */
  classNames?: readonly string[];
  /** Device: "cpu", "cuda" or "cuda:N". Default "cpu". */
  device?: string;
  /** What computes, in the order of preference, as onnxruntime names it. Default: CUDA for a CUDA device, else the CPU. */
  executionProviders?: readonly ExecutionProvider[];
  /** Number of threads that compute. Default: as many as there are processors for this process. */
  threads?: number;
  /** Signal that ends the load with ERR_ABORTED. */
  signal?: AbortSignal;
}

/** The options, checked. */
export interface CheckedOptions {
  readonly input: Preprocessing;
  readonly features: string | undefined;
  readonly logits: string | undefined;
  readonly classNames: readonly string[] | undefined;
  readonly device: string;
  readonly executionProviders: readonly (ExecutionProvider | { readonly name: "cuda"; readonly deviceId: number })[];
  readonly threads: number;
  readonly signal: AbortSignal | undefined;
}

/** @throws ERR_OPTION for an unknown option or a value of another type; ERR_RANGE for a number outside its range; what checkPreprocessing throws */
export function checkOnnxOptions(options: OnnxOptions): CheckedOptions {
  const given = optionsObject(options, "options", [
    ...(["input", "features", "logits", "classNames", "device", "executionProviders", "threads", "signal"] as const),
  ]);
  const optional = (value: unknown, name: string): string | undefined => (value === undefined ? undefined : string(value, name));
  const device = string(given.device ?? "cpu", "device");
  const [, card = "0"] = /^cuda(?::(\d{1,3}))?$/.exec(device) ?? [];
  if (device !== "cpu" && !/^cuda(:\d{1,3})?$/.test(device)) fail("ERR_DEVICE", "device", '"cpu", "cuda" or "cuda:N"', device);
  const usual = device === "cpu" ? (["cpu"] as const) : [{ name: "cuda", deviceId: Number(card) } as const];
  return {
    input: checkPreprocessing(given.input),
    features: optional(given.features, "features"),
    logits: optional(given.logits, "logits"),
    classNames: given.classNames === undefined ? undefined : checkClassNames(given.classNames),
    device,
    executionProviders: given.executionProviders === undefined ? usual : checkProviders(given.executionProviders),
    // onnxruntime's own default counts what it takes for physical cores, which in virtual machines may be one of many.
    threads: integer(given.threads ?? availableParallelism(), "threads", 1, 1024),
    signal: optionalSignal(given.signal, "signal"),
  };
}

function checkProviders(given: unknown): ExecutionProvider[] {
  const providers = shortList(given, 16);
  if (providers === undefined || providers.length === 0) fail("ERR_OPTION", "executionProviders", "a list of names", given);
  return providers.map((name, i) => oneOf(name, `executionProviders[${i}]`, executionProviders));
}
