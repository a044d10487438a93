// The one writer of .safetensors files. It is told which tensors there are, takes their bytes as they come, and gives the file its name at the end.

import { describe } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
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
  /** Place of its bytes in the file. */
  readonly start: number;
  readonly length: number;
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
    private readonly file: AtomicFile,
    parts: ReadonlyMap<string, Part>,
  ) {
    this.#parts = parts;
  }

  /**
   * @param plan - what there will be
   * @throws ERR_IO; ERR_RANGE for a header above the format's limit, and for tensors that no file holds
   */
  static async open(path: string, plan: SafetensorsPlan): Promise<SafetensorsWriter> {
    const header = formatHeader(plan);
    const file = await openAtomicFile(path);
    const parts = new Map<string, Part>();
    try {
      await file.write(header, 0);
      let start = header.length;
      for (const tensor of plan.tensors) {
        const length = plannedBytes(tensor);
        parts.set(tensor.name, { start, length, written: 0 });
        start += length;
      }
    } catch (error) {
      await file.discard();
      throw error;
    }
    return new SafetensorsWriter(path, file, parts);
  }

  /**
   * The next bytes of a tensor, little-endian and row-major. They must not be changed until the promise settles.
   *
   * @throws ERR_IO; ERR_SHAPE for more bytes than planned, and where their memory goes while they are written
   */
  async append(name: string, bytes: Uint8Array): Promise<void> {
    const part = this.#parts.get(name) as Part;
    const written = part.written + bytes.length;
    if (written > part.length) throw this.#misfit(name, `${part.length} bytes at most`, written);
    await this.file.write(bytes, part.start + part.written);
    part.written = written;
  }

  /** After the last bytes. @throws ERR_SHAPE where a tensor has other bytes than planned */
  finish(): void {
    for (const [name, { length, written }] of this.#parts) if (written !== length) throw this.#misfit(name, `${length} bytes`, written);
  }

  /** Flushes the file to the disk and gives it its name; removes it where that fails. @throws ERR_IO */
  commit(): Promise<void> {
    return this.file.commit();
  }

  /** Gives up: the path is as it was. Idempotent, and nothing after {@link commit}. */
  discard(): Promise<void> {
    return this.file.discard();
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
    writer.finish();
  } catch (error) {
    await writer.discard();
    throw error;
  }
  await writer.commit();
}
