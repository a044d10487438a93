// The one writer of .safetensors files. It is told which tensors there are, takes their bytes as they come, and gives the file its name at the end.

import { randomBytes } from "node:crypto";
import { open, unlink, type FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { describe } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { io, ioError } from "../core/file-errors";
import { openAtomicFile, type AtomicFile } from "./atomic-write";
import type { SafetensorsDtype } from "./safetensors-data";
import { maxHeaderBytes, tensorByteLength } from "./safetensors-header";

/** A tensor that is to be written. */
export interface PlannedTensor {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
}

/** What is in a file, in the order of the file. Names and metadata have been checked. */
export interface SafetensorsPlan {
  readonly tensors: readonly PlannedTensor[];
  readonly metadata: ReadonlyMap<string, string>;
}

/** The bytes of a planned tensor. @throws ERR_RANGE where no file holds them */
export function plannedBytes({ name, dtype, shape }: PlannedTensor): number {
  const bytes = tensorByteLength(dtype, shape);
  if (bytes !== undefined) return bytes;
  throw new LibtorchOodError("ERR_RANGE", `tensor ${describe(name)}: expected fewer bytes than 2^53, found ${dtype} [${shape.join(", ")}]`);
}

/**
 * The start of a file: 8 bytes of length and the header, padded with spaces so that the data begins at a multiple of 8.
 *
 * @param least - length at least, in bytes
 * @throws ERR_RANGE for a header above the format's limit
 */
export function formatHeader({ tensors, metadata }: SafetensorsPlan, least = 0): Uint8Array {
  const members: string[] = [];
  if (metadata.size > 0) {
    const pairs = [...metadata].map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
    members.push(`"__metadata__":{${pairs.join(",")}}`);
  }
  let begin = 0;
  for (const tensor of tensors) {
    const { name, dtype, shape } = tensor;
    const end = begin + plannedBytes(tensor);
    members.push(`${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape.join(",")}],"data_offsets":[${begin},${end}]}`);
    begin = end;
  }
  const json = new TextEncoder().encode(`{${members.join(",")}}`);
  const bytes = new Uint8Array(Math.max(8 + Math.ceil(json.length / 8) * 8, least)).fill(0x20);
  if (bytes.length - 8 > maxHeaderBytes) throw headerTooLong(`${bytes.length - 8}`);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(bytes.length - 8), true);
  bytes.set(json, 8);
  return bytes;
}

export function headerTooLong(found: string): LibtorchOodError {
  return new LibtorchOodError("ERR_RANGE", `safetensors header: expected at most ${maxHeaderBytes} bytes, found ${found}`);
}

/** A tensor that is being written. */
interface Part {
  /** Place of its bytes in the file; for those in `waiting`, their place if every tensor were as large as planned. */
  readonly start: number;
  readonly most: number;
  readonly waiting: WaitingBytes | undefined;
  written: number;
}

/**
 * Writes one file. Nobody sees it before {@link SafetensorsWriter.commit}. What was at its path stays until then, and after {@link
 * SafetensorsWriter.discard}.
 */
export class SafetensorsWriter {
  readonly #parts: ReadonlyMap<string, Part>;

  private constructor(
    readonly path: string,
    private readonly plan: SafetensorsPlan,
    private readonly headerLength: number,
    private readonly file: AtomicFile,
    parts: ReadonlyMap<string, Part>,
  ) {
    this.#parts = parts;
  }

  /**
   * @param plan - what there will be; where the file is `growing`, the most that there may be, of each tensor and of the metadata
   * @param growing - sizes are known by {@link SafetensorsWriter.finish} only: the first tensor is written in its place, the others wait in files
   *   without a name
   * @throws ERR_IO; ERR_RANGE for a header above the format's limit, and for tensors that no file holds
   */
  static async open(path: string, plan: SafetensorsPlan, { growing = false } = {}): Promise<SafetensorsWriter> {
    const header = formatHeader(plan);
    const file = await openAtomicFile(path);
    const parts = new Map<string, Part>();
    try {
      if (!growing) await file.write(header, 0);
      let start = header.length;
      for (const tensor of plan.tensors) {
        const most = plannedBytes(tensor);
        const waiting = growing && parts.size > 0 ? await WaitingBytes.open(path) : undefined;
        parts.set(tensor.name, { start, most, waiting, written: 0 });
        start += most;
      }
    } catch (error) {
      for (const { waiting } of parts.values()) await waiting?.close();
      await file.discard();
      throw error;
    }
    return new SafetensorsWriter(path, plan, header.length, file, parts);
  }

  /**
   * The next bytes of a tensor, little-endian and row-major. They must not be changed until the promise settles.
   *
   * @throws ERR_IO; ERR_SHAPE for more bytes than planned, and where their memory goes while they are written
   */
  async append(name: string, bytes: Uint8Array): Promise<void> {
    const part = this.#parts.get(name) as Part;
    const written = part.written + bytes.length;
    if (written > part.most) throw this.#misfit(name, `${part.most} bytes at most`, written);
    if (part.waiting === undefined) await this.file.write(bytes, part.start + part.written);
    else await part.waiting.append(bytes);
    part.written = written;
  }

  /**
   * After the last bytes.
   *
   * @param plan - what there is, of a growing file: the same tensors, none larger than planned
   * @throws ERR_IO; ERR_SHAPE where a tensor has other bytes than planned
   */
  async finish(plan = this.plan): Promise<void> {
    for (const tensor of plan.tensors) {
      const { written } = this.#parts.get(tensor.name) as Part;
      const expected = plannedBytes(tensor);
      if (written !== expected) throw this.#misfit(tensor.name, `${expected} bytes`, written);
    }
    if (plan === this.plan) return;
    await this.file.write(formatHeader(plan, this.headerLength), 0);
    let position = this.headerLength;
    for (const { written, waiting } of this.#parts.values()) {
      const start = position;
      await waiting?.readAll((bytes, at) => this.file.write(bytes, start + at));
      position += written;
    }
  }

  /** Flushes the file to the disk and gives it its name; removes it where that fails. @throws ERR_IO */
  async commit(): Promise<void> {
    await this.file.commit();
    await this.#closeWaiting();
  }

  /** Gives up: the path is as it was. Idempotent, and nothing after {@link commit}. */
  async discard(): Promise<void> {
    await this.file.discard();
    await this.#closeWaiting();
  }

  async #closeWaiting(): Promise<void> {
    for (const { waiting } of this.#parts.values()) await waiting?.close();
  }

  #misfit(name: string, expected: string, found: number): LibtorchOodError {
    return new LibtorchOodError("ERR_SHAPE", `${this.path}: data of ${describe(name)}: expected ${expected}, found ${found}`);
  }
}

/**
 * Writes a whole file: the pieces of each tensor one after the other, each written before the next is asked for.
 *
 * @throws as {@link SafetensorsWriter}; what the iterable throws, as it is
 */
export async function writeTensors(
  path: string,
  plan: SafetensorsPlan,
  pieces: Iterable<readonly [name: string, bytes: Uint8Array]>,
): Promise<void> {
  const writer = await SafetensorsWriter.open(path, plan);
  try {
    for (const [name, bytes] of pieces) await writer.append(name, bytes);
    await writer.finish();
  } catch (error) {
    await writer.discard();
    throw error;
  }
  await writer.commit();
}

/** Bytes that wait for their place, in a file beside the one that they go to. */
class WaitingBytes {
  #length = 0;
  #closed = false;

  private constructor(
    private readonly path: string,
    private readonly temporary: string,
    private readonly handle: FileHandle,
  ) {}

  static async open(path: string): Promise<WaitingBytes> {
    const temporary = join(dirname(path), `.${basename(path).slice(0, 40)}.${process.pid}-${randomBytes(6).toString("hex")}.tmp`);
    const handle = await io("write", path, open(temporary, "wx+"));
    // Without a name it is gone with this process, however that ends. Where an open file must keep its name, close removes it.
    await unlink(temporary).catch(() => undefined);
    return new WaitingBytes(path, temporary, handle);
  }

  async append(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await io("write", this.path, this.handle.write(bytes, done, bytes.length - done, this.#length));
      if (bytesWritten === 0) throw ioError("write", this.path, "the file system took no bytes");
      done += bytesWritten;
      this.#length += bytesWritten;
    }
  }

  /** @param use - of a piece and its position among them; the piece is used again afterwards */
  async readAll(use: (bytes: Uint8Array, at: number) => Promise<void>): Promise<void> {
    const buffer = new Uint8Array(1 << 20);
    for (let position = 0; position < this.#length;) {
      const { bytesRead } = await io("read", this.temporary, this.handle.read(buffer, 0, buffer.length, position));
      if (bytesRead === 0) throw ioError("read", this.temporary, "it has become shorter");
      await use(buffer.subarray(0, bytesRead), position);
      position += bytesRead;
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.handle.close().catch(() => undefined);
    await unlink(this.temporary).catch(() => undefined);
  }
}
