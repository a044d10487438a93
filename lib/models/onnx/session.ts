// A model in onnxruntime, in a process of its own: loads it there, sends it batches and takes rows back. Whoever holds it last ends the process.

import { spawn, type ChildProcess } from "node:child_process";
import { join } from "node:path";
import type { Duplex, Readable } from "node:stream";
import { packageRoot } from "../../core/package-root";
import { LibtorchOodError } from "../../core/errors";
import { untilAborted } from "../../native/call";
import { missing } from "./runtime";
import { frameStart, prefixBytes, type FramedTensor, type Reply, type Request, type ValueFacts } from "./session-frames";

/** The program is compiled; it is the same for tests, which compile everything else themselves. */
const program = join(packageRoot, "dist", "models", "onnx", "session-program.js");
/** What is kept of the process's last words, for errors. */
const mostWords = 4096;

/** A tensor that a model gave. */
export interface OutputTensor extends FramedTensor {
  readonly data: Uint8Array<ArrayBuffer>;
}

/** Images of a batch as they are sent: floats, or pixels with the table of what they become. */
export interface SentImages {
  readonly data: Float32Array | Uint8Array;
  readonly table?: Float32Array;
}

interface Waiting {
  resolve(frame: { reply: Reply; payload: Buffer }): void;
  reject(error: LibtorchOodError): void;
}

export class OnnxSession {
  readonly #process: ChildProcess;
  readonly #channel: Duplex & { ref?(): void; unref?(): void };
  /** The one request that is being answered. */
  #waiting: Waiting | undefined;
  /** The request before: one at a time is sent. */
  #last: Promise<unknown> = Promise.resolve();
  #pieces: Buffer[] = [];
  #received = 0;
  #words = "";
  #ended: LibtorchOodError | undefined;
  #holders = 1;
  inputs: readonly ValueFacts[] = [];
  outputs: readonly ValueFacts[] = [];

  private constructor() {
    // The caller's NODE_OPTIONS are for the caller's program. Electron's binary is a Node.js where it is told so.
    const env = { ...process.env, NODE_OPTIONS: undefined, ELECTRON_RUN_AS_NODE: "1" };
    this.#process = spawn(process.execPath, [program], { stdio: ["ignore", "ignore", "pipe", "pipe"], env, windowsHide: true });
    this.#channel = this.#process.stdio[3] as Duplex;
    this.#channel.on("data", (piece: Buffer) => this.#take(piece));
    this.#channel.on("error", () => undefined); // the end of the process says more
    const words = this.#process.stderr as Readable & { unref?(): void };
    words.setEncoding("utf8").on("data", (text: string) => (this.#words = (this.#words + text).slice(-mostWords)));
    this.#process.on("error", (cause) => this.#end(`cannot be started: ${cause.message}`, cause));
    this.#process.on("close", (code, signal) => this.#end(`ended with ${signal ?? `code ${code}`}`, undefined, signal));
    // Only a request keeps the caller's process alive.
    this.#process.unref();
    words.unref?.();
    this.#channel.unref?.();
  }

  /**
   * @param parts - the bytes of the model, in pieces
   * @param options - session options of onnxruntime
   * @throws ERR_ONNXRUNTIME_NOT_FOUND where onnxruntime cannot be loaded; what `refused` makes of onnxruntime's words; ERR_ABORTED
   */
  static async load(
    runtime: string,
    parts: readonly Uint8Array[],
    options: object,
    refused: (message: string) => LibtorchOodError,
    signal?: AbortSignal,
  ): Promise<OnnxSession> {
    const session = new OnnxSession();
    try {
      const { reply } = await untilAborted(session.#request({ op: "load", runtime, options }, parts), signal);
      if ("failed" in reply) {
        const { message, code, runtime: absent } = reply.failed;
        throw absent ? missing("onnxruntime-node", { message, code }) : refused(message);
      }
      if ("loaded" in reply) Object.assign(session, reply.loaded);
      return session;
    } catch (error) {
      session.release();
      throw error;
    }
  }

  /**
   * Runs one batch.
   *
   * @throws ERR_INTERNAL with onnxruntime's words; ERR_OUT_OF_MEMORY where the process was killed for lack of it
   */
  async run(input: string, images: SentImages, dims: readonly number[], outputs: readonly string[]): Promise<OutputTensor[]> {
    const table = images.table ?? new Float32Array(0);
    const parts = [table, images.data].map(({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength));
    const { reply, payload } = await this.#request({ op: "run", input, dims, tableLength: table.length, outputs }, parts);
    if ("failed" in reply) throw new LibtorchOodError("ERR_INTERNAL", `onnxruntime: ${reply.failed.message}`);
    let at = 0;
    return "tensors" in reply
      ? reply.tensors.map((tensor) => ({ ...tensor, data: new Uint8Array(payload.subarray(at, (at += tensor.bytes))) }))
      : [];
  }

  /** Another holder of the session, which releases it. */
  retain(): this {
    this.#holders++;
    return this;
  }

  /** Ends the process where this was the last holder; a batch that is being computed is left alone until it is done. */
  release(): void {
    if (--this.#holders === 0) void this.#last.then(() => this.#channel.end());
  }

  #request(request: Request, parts: readonly Uint8Array[]): Promise<{ reply: Reply; payload: Buffer }> {
    const answered = this.#last.then(() => this.#send(request, parts));
    this.#last = answered.catch(() => undefined);
    return answered;
  }

  #send(request: Request, parts: readonly Uint8Array[]): Promise<{ reply: Reply; payload: Buffer }> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    this.#channel.ref?.();
    return new Promise<{ reply: Reply; payload: Buffer }>((resolve, reject) => {
      this.#waiting = { resolve, reject };
      const bytes = parts.reduce((sum, { byteLength }) => sum + byteLength, 0);
      this.#channel.write(frameStart(request, bytes));
      for (const part of parts) this.#channel.write(part);
    }).finally(() => {
      this.#waiting = undefined;
      this.#channel.unref?.();
    });
  }

  #take(piece: Buffer): void {
    this.#pieces.push(piece);
    this.#received += piece.length;
    if (this.#received < prefixBytes) return;
    if ((this.#pieces[0] as Buffer).length < prefixBytes) this.#pieces = [Buffer.concat(this.#pieces)];
    const first = this.#pieces[0] as Buffer;
    const json = first.readUInt32LE(0);
    const whole = prefixBytes + json + first.readDoubleLE(4);
    if (this.#received < whole) return;
    const frame = Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#received = 0;
    const reply = JSON.parse(frame.toString("utf8", prefixBytes, prefixBytes + json)) as Reply;
    this.#waiting?.resolve({ reply, payload: frame.subarray(prefixBytes + json, whole) });
  }

  #end(what: string, cause?: unknown, signal?: NodeJS.Signals | null): void {
    const words = this.#words.trim();
    const code = signal === "SIGKILL" ? "ERR_OUT_OF_MEMORY" : "ERR_INTERNAL";
    const why = signal === "SIGKILL" ? ", which is what happens where memory is short" : words === "" ? "" : `: ${words}`;
    this.#ended ??= new LibtorchOodError(code, `onnxruntime's process ${what}${why}`, { cause });
    this.#waiting?.reject(this.#ended);
  }
}
