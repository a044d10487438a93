// A loaded ONNX network: a session with the values that are computed, tried on one batch of zeros for its dimensions, and then run batch by batch.

import { LibtorchOodError } from "../../core/errors";
import type { Preprocessing } from "../../data/preprocessing";
import type { RowArray } from "../batch-rows";
import type { ImageBatch } from "../image-batch";
import type { GraphValues } from "./graph-values";
import type { OnnxSession, OutputTensor } from "./session";
import type { ValueFacts } from "./session-frames";

type Size = number | string;

/** What the trial has found. */
export interface NetworkFacts {
  /** The values that are computed: without logits that nobody asked for and that are no row per image. */
  readonly values: GraphValues;
  readonly featureDim: number;
  readonly numClasses: number | undefined;
  /** Number of images that every batch must have; undefined where any will do. */
  readonly batchSize: number | undefined;
}

/**
 * Runs zeros through the network.
 *
 * @throws ERR_OPTION for a network of other than one input; ERR_SHAPE for an input that is not [N, channels, size, size], and for outputs that are not one
 *   row per image; ERR_DTYPE for an input other than float32 and outputs that are no floats
 */
export async function tryNetwork(session: OnnxSession, values: GraphValues, input: Preprocessing, name: string): Promise<NetworkFacts> {
  const given = imageInput(session.inputs, input, name);
  const fixed = typeof given.shape[0] === "number" ? given.shape[0] : undefined;
  const names = [values.features, ...(values.logits === undefined ? [] : [values.logits])];
  const attempt = async (count: number): Promise<NetworkFacts> => {
    const dims = [count, input.channels, input.size, input.size];
    const zeros = new Float32Array(count * input.channels * input.size ** 2);
    const [features, logits] = await session.run(given.name, { data: zeros }, dims, names);
    const featureDim = width(features as OutputTensor, count, "features", name);
    if (logits === undefined || (values.logitsByTheWay && columns(logits, count) === undefined)) {
      return { values: { ...values, logits: undefined }, featureDim, numClasses: undefined, batchSize: fixed };
    }
    return { values, featureDim, numClasses: width(logits, count, "logits", name), batchSize: fixed };
  };
  try {
    return await attempt(fixed ?? 2);
  } catch (error) {
    if (fixed !== undefined || (error as LibtorchOodError).code !== "ERR_INTERNAL") throw refusal(error, input, name);
    // Some exporters call the batch dimension free and write a 1 into a Reshape.
    const facts = await attempt(1).catch(() => {
      throw refusal(error, input, name);
    });
    return { ...facts, batchSize: 1 };
  }
}

/** The outputs of a batch. Of pixels, the bytes are sent, and `table` for what they become: a quarter of what floats take. A batch that is shorter than the network's is filled up with zeros, whose rows are dropped. */
export async function runBatch(
  session: OnnxSession,
  { values: { features, logits }, batchSize, featureDim, numClasses }: NetworkFacts,
  table: Float32Array,
  batch: ImageBatch,
  wanted: { features: boolean; logits: boolean },
): Promise<{ features?: RowArray; logits?: RowArray }> {
  const { count, shape } = batch;
  const rows = batchSize ?? count;
  const images = batch.pixels === undefined ? { data: batch.data } : { data: batch.pixels, table };
  const filled = rows === count ? images : { ...images, data: filledUp(images.data, rows / count) };
  const names = [...(wanted.features ? [features] : []), ...(wanted.logits && logits !== undefined ? [logits] : [])];
  const outputs = await session.run((session.inputs[0] as ValueFacts).name, filled, [rows, ...shape.slice(1)], names);
  const numbers = outputs.map(({ type, data }) => (type === "float64" ? new Float64Array(data.buffer) : new Float32Array(data.buffer)));
  return {
    ...(wanted.features ? { features: numbers[0]?.subarray(0, count * featureDim) } : {}),
    ...(wanted.logits ? { logits: numbers.at(-1)?.subarray(0, count * (numClasses ?? 0)) } : {}),
  };
}

/** The elements with zeros behind them. */
function filledUp(elements: Float32Array | Uint8Array, times: number): Float32Array | Uint8Array {
  const filled = new (elements instanceof Uint8Array ? Uint8Array : Float32Array)(Math.round(elements.length * times));
  filled.set(elements);
  return filled;
}

function imageInput(inputs: readonly ValueFacts[], { channels, size }: Preprocessing, name: string): ValueFacts {
  const [input] = inputs;
  if (input === undefined || inputs.length !== 1) {
    const found = inputs.map((value) => `"${value.name}"`).join(", ") || "none";
    throw new LibtorchOodError("ERR_OPTION", `${name}: expected a model of one input, found ${found}`);
  }
  if (input.type !== "float32") {
    throw new LibtorchOodError("ERR_DTYPE", `${name}: expected a model whose input "${input.name}" is float32, found ${input.type}`);
  }
  const expected: Size[] = ["N", channels, size, size];
  const fits =
    input.shape.length === 4 && input.shape.every((length, i) => i === 0 || typeof length === "string" || length === expected[i]);
  // Of an input whose dimensions are all unknown, onnxruntime gives none.
  if (fits || input.shape.length === 0) return input;
  throw new LibtorchOodError(
    "ERR_SHAPE",
    `input: expected the model's own images [${input.shape.map((length) => (length === "" ? "?" : length)).join(", ")}] (${name}), ` +
      `found [${expected.join(", ")}]`,
  );
}

/** Columns of an output: [n, d], or [n, d, 1, 1] as pooling leaves it; undefined where it is not one row per image. */
function columns({ dims: [rows, width, ...rest] }: OutputTensor, count: number): number | undefined {
  return rows === count && width !== undefined && width > 0 && rest.every((length) => length === 1) ? width : undefined;
}

function width(output: OutputTensor, count: number, what: string, name: string): number {
  const { type, dims } = output;
  if (type !== "float32" && type !== "float64") {
    throw new LibtorchOodError("ERR_DTYPE", `${what}: expected ${name} to give float32 or float64, found ${type}`);
  }
  const found = columns(output, count);
  if (found !== undefined) return found;
  throw new LibtorchOodError("ERR_SHAPE", `${what}: expected ${name} to give [${count}, d], one row per image, found [${dims.join(", ")}]`);
}

function refusal(error: unknown, { channels, size }: Preprocessing, name: string): unknown {
  if ((error as LibtorchOodError).code !== "ERR_INTERNAL") return error;
  const { message } = error as LibtorchOodError;
  return new LibtorchOodError("ERR_SHAPE", `input: ${name} does not take images [N, ${channels}, ${size}, ${size}]: ${message}`, {
    cause: error,
  });
}
