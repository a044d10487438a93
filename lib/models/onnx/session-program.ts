// The program of a session's process: loads a model into onnxruntime and runs the batches that come over file descriptor 3, until that is closed.
//
// A process of its own, because onnxruntime-node computes on the JavaScript thread; in a worker thread that is ended meanwhile it would end the whole
// process (a C++ exception that nobody catches).

import { readSync, writeSync } from "node:fs";
import type * as Ort from "onnxruntime-node";
import { normalizePixels } from "./pixels";
import { frameStart, prefixBytes, type FramedTensor, type Reply, type Request, type ValueFacts } from "./session-frames";

const channel = 3;

type Runtime = typeof Ort;
let loaded: { ort: Runtime; session: Ort.InferenceSession } | undefined;
/** The memory of a batch is used again for the next one: what came, and the floats that are made of pixels. */
let batch = Buffer.alloc(0);
let floats = new Float32Array(0);

void serve();

async function serve(): Promise<void> {
  process.on("SIGINT", () => undefined); // a terminal sends it to this process too; the one that called decides
  for (let prefix = read(Buffer.alloc(prefixBytes)); prefix !== undefined; prefix = read(Buffer.alloc(prefixBytes))) {
    const json = read(Buffer.alloc(prefix.readUInt32LE(0)));
    const bytes = prefix.readDoubleLE(4);
    if (json === undefined) return;
    const request = JSON.parse(json.toString()) as Request;
    const payload = read(request.op === "run" ? batchMemory(bytes) : Buffer.alloc(bytes));
    if (payload === undefined) return;
    const [reply, ...payloads] = await answer(request, payload);
    write(
      frameStart(
        reply,
        payloads.reduce((sum, { byteLength }) => sum + byteLength, 0),
      ),
    );
    for (const part of payloads) write(part);
  }
}

async function answer(request: Request, payload: Buffer): Promise<[Reply, ...Uint8Array[]]> {
  let runtime = false;
  try {
    if (request.op === "run") return await run(request, payload);
    runtime = true;
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- the caller has found it
    const ort = require(request.runtime) as Runtime;
    runtime = false;
    const session = await ort.InferenceSession.create(payload, request.options);
    loaded = { ort, session };
    return [{ loaded: { inputs: facts(session.inputMetadata), outputs: facts(session.outputMetadata) } }];
  } catch (error) {
    const { message, code } = error as { message?: unknown; code?: unknown };
    return [{ failed: { message: String(message ?? error), code: typeof code === "string" ? code : undefined, runtime } }];
  }
}

async function run(
  { input, dims, tableLength, outputs }: Extract<Request, { op: "run" }>,
  payload: Buffer,
): Promise<[Reply, ...Uint8Array[]]> {
  const { ort, session } = loaded as NonNullable<typeof loaded>;
  const found = await session.run({ [input]: new ort.Tensor("float32", images(payload, dims, tableLength), dims) }, outputs);
  const tensors: FramedTensor[] = [];
  const payloads: Uint8Array[] = [];
  for (const name of outputs) {
    const tensor = found[name] as Ort.Tensor;
    const data = tensor.data as ArrayBufferView;
    const bytes = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(0);
    tensors.push({ name, type: tensor.type, dims: tensor.dims, bytes: bytes.length });
    payloads.push(bytes);
  }
  return [{ tensors }, ...payloads];
}

/** The floats of a batch. */
function images({ buffer, byteOffset, byteLength }: Buffer, dims: readonly number[], tableLength: number): Float32Array {
  if (tableLength === 0) return new Float32Array(buffer, byteOffset, byteLength / 4);
  const table = new Float32Array(buffer, byteOffset, tableLength);
  const pixels = new Uint8Array(buffer, byteOffset + table.byteLength, byteLength - table.byteLength);
  if (floats.length < pixels.length) floats = new Float32Array(pixels.length);
  normalizePixels(pixels, table, (dims[2] as number) * (dims[3] as number), floats);
  return floats.subarray(0, pixels.length);
}

function facts(metadata: readonly Ort.InferenceSession.ValueMetadata[]): ValueFacts[] {
  return metadata.map((value) => (value.isTensor ? value : { name: value.name, type: "no tensor", shape: [] }));
}

function batchMemory(bytes: number): Buffer {
  if (batch.length < bytes) batch = Buffer.from(new ArrayBuffer(bytes));
  return batch.subarray(0, bytes);
}

/** Fills the memory; undefined where the channel has been closed. */
function read(into: Buffer): Buffer | undefined {
  for (let done = 0; done < into.length;) {
    const count = readSync(channel, into, done, Math.min(1 << 30, into.length - done), null);
    if (count === 0) return undefined;
    done += count;
  }
  return into;
}

function write(bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += writeSync(channel, bytes, done, bytes.length - done);
}
