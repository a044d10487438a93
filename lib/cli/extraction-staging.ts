// The folder in which an extraction keeps what it has written until it is whole: files that only grow, and the journal of their pieces.

import { createHash, type Hash } from "node:crypto";
import { mkdir, open, rm, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { LibtorchOodError } from "../core/errors";
import { io, ioError, systemCode } from "../core/file-errors";
import { moveIntoPlace } from "../formats/atomic-write";
import type { RecordedFile } from "../formats/extraction-record";
import { flush } from "../formats/flush";
import {
  Journal,
  type Appended,
  type Ending,
  type Entry,
  type Identity,
  type Piece,
  type StoredJournal,
  type WholeShard,
} from "./extraction-journal";

/** A file that grows: what is behind `base` is appended, what is before is written at the end. */
export class StagedFile {
  readonly #hash: Hash = createHash("sha256");
  #position: number;

  private constructor(
    readonly path: string,
    readonly base: number,
    private readonly handle: FileHandle,
  ) {
    this.#position = base;
  }

  /** @throws ERR_IO */
  static async open(path: string, base: number): Promise<StagedFile> {
    return new StagedFile(path, base, await io("write", path, openOrMake(path)));
  }

  /** Bytes that were appended. */
  get length(): number {
    return this.#position - this.base;
  }

  /** Of all that was appended. */
  recorded(): RecordedFile {
    return { bytes: this.length, sha256: this.#hash.copy().digest("hex") };
  }

  /** @returns the checksum of these bytes */
  async append(pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<Appended> {
    const own = createHash("sha256");
    let bytes = 0;
    for await (const piece of pieces) {
      await this.write(piece, this.#position);
      this.#position += piece.length;
      bytes += piece.length;
      own.update(piece);
      this.#hash.update(piece);
    }
    return { bytes, sha256: own.digest("hex") };
  }

  /** Whether the next bytes are those that an earlier process appended. */
  async holds({ bytes, sha256 }: Appended): Promise<boolean> {
    const own = createHash("sha256");
    for await (const piece of this.read(this.#position, bytes)) own.update(piece);
    return own.digest("hex") === sha256;
  }

  /** Goes on behind these bytes, which it {@link holds}. */
  async take({ bytes }: Appended): Promise<void> {
    for await (const piece of this.read(this.#position, bytes)) this.#hash.update(piece);
    this.#position += bytes;
  }

  /** Drops what an earlier process appended behind what was taken. */
  async cut(): Promise<void> {
    await io("write", this.path, this.handle.truncate(this.#position));
  }

  async write(bytes: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await io("write", this.path, this.handle.write(bytes, done, bytes.length - done, position + done));
      if (bytesWritten === 0) throw ioError("write", this.path, "the file system took no bytes");
      done += bytesWritten;
    }
  }

  /** Bytes from a position on, fewer where the file ends. The memory of a piece is used again for the next. */
  async *read(position: number, length: number): AsyncGenerator<Uint8Array> {
    const buffer = new Uint8Array(Math.min(length, 1 << 20));
    for (let done = 0; done < length;) {
      const { bytesRead } = await io(
        "read",
        this.path,
        this.handle.read(buffer, 0, Math.min(buffer.length, length - done), position + done),
      );
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
      done += bytesRead;
    }
  }

  flush(): Promise<void> {
    return io("write", this.path, flush(this.handle));
  }

  async close(): Promise<void> {
    await this.handle.close();
  }
}

async function openOrMake(path: string): Promise<FileHandle> {
  try {
    return await open(path, "r+");
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw error;
    return open(path, "wx+");
  }
}

/** What an earlier process left that is sound. */
export interface Resumed {
  readonly pieces: readonly Piece[];
  readonly shards: readonly WholeShard[];
  /** Where it had begun to give the files their names. */
  readonly ending: Ending | undefined;
}

export class Staging {
  private constructor(
    readonly folder: string,
    readonly journal: Journal,
  ) {}

  /** An empty folder for a new extraction. @throws ERR_IO */
  static async create(folder: string, identity: Identity): Promise<Staging> {
    await Staging.remove(folder);
    await io("create", folder, mkdir(folder));
    return new Staging(folder, await Journal.create(folder, identity));
  }

  static async remove(folder: string): Promise<void> {
    await io("remove", folder, rm(folder, { recursive: true, force: true }));
  }

  /**
   * The folder of an extraction that was broken off.
   *
   * @param verify - takes entry after entry, and says of each whether the files are as it says; none is asked for behind one that is not
   */
  static async resume(
    folder: string,
    stored: StoredJournal,
    verify: (entry: Entry) => Promise<boolean>,
  ): Promise<{ staging: Staging; resumed: Resumed }> {
    const kept: Entry[] = [];
    const ending = stored.entries.find((entry) => entry.ending !== undefined)?.ending;
    for (const entry of stored.entries) {
      // Once files get their names, all had been flushed: what is gone has its name.
      if (ending === undefined && !(await verify(entry))) break;
      kept.push(entry);
    }
    const journal = await Journal.resume(folder, kept.at(-1)?.end ?? stored.start);
    const pieces = kept.flatMap(({ piece }) => piece ?? []);
    const shards = kept.flatMap(({ shard }) => shard ?? []);
    return { staging: new Staging(folder, journal), resumed: { pieces, shards, ending } };
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** Gives the files their names, however often it is begun, and removes the folder. @throws ERR_IO */
  async end({ stale, moves }: Ending): Promise<void> {
    for (const [i, { from, to }] of moves.entries()) {
      await this.#move(this.path(from), to);
      if (i > 0) continue;
      for (const path of stale) await io("remove", path, rm(path, { force: true }));
    }
    await this.close();
    await Staging.remove(this.folder);
  }

  async #move(from: string, to: string): Promise<void> {
    try {
      await moveIntoPlace(from, to);
    } catch (error) {
      const cause = (error as Error).cause;
      if (error instanceof LibtorchOodError && systemCode(cause) === "ENOENT" && (cause as NodeJS.ErrnoException).path === from) return;
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.journal.close();
  }
}

/** @throws ERR_OPTION by the first difference */
export function requireSame(found: Identity, expected: Identity): void {
  for (const name of new Set([...Object.keys(found), ...Object.keys(expected)])) {
    if (found[name] === expected[name]) continue;
    const was = `expected ${found[name] ?? "none"} as ${name}, as in the extraction that was broken off`;
    throw new LibtorchOodError("ERR_OPTION", `--resume: ${was}, found ${expected[name] ?? "none"}; without --resume it starts anew`);
  }
}
