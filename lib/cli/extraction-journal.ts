// The journal of an extraction under way: what it is of, and the checksum of every piece that has been written, so that `--resume` can go on.

import { createHash } from "node:crypto";
import { open, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { check, list, object, optional, record, text, whole, type Typed } from "../core/schema";
import { io, ioError, systemCode } from "../core/file-errors";
import { recordedFile, recordedFiles } from "../formats/extraction-record";
import { flush } from "../formats/flush";
import { parseJson } from "../formats/json";

/** What decides the bytes of an extraction, by the words in which a user gave it. */
export type Identity = Readonly<Record<string, string>>;

const piece = object({
  /** Images before the end of the piece, and rows likewise: an image that was left out has no row. */
  seen: whole(),
  rows: whole(),
  precision: text,
  shard: whole(),
  /** The bytes that were appended to each file. */
  files: recordedFiles,
});
const shard = object({ shard: whole(), count: whole(), arrays: recordedFiles });
const ending = object({
  /** Paths to remove, and names to give to the files of the staging folder, in this order; the first move comes before the removals. */
  stale: list(text),
  moves: list(object({ from: text, to: text })),
});
const entry = object({ piece: optional(piece), shard: optional(shard), ending: optional(ending) });
const beginning = object({ format: text, identity: record(text) });

export type Piece = Readonly<Typed<typeof piece>>;
/** A shard that is whole: a .safetensors file, with the bytes and checksums of its tensors. */
export type WholeShard = Readonly<Typed<typeof shard>>;
export type Ending = Readonly<Typed<typeof ending>>;
export type Appended = Readonly<Typed<typeof recordedFile>>;

const journalName = "journal.jsonl";
const format = "libtorch-ood extraction journal 1";

/** An entry, and where its line ends in the journal. */
export interface Entry {
  readonly piece?: Piece | undefined;
  readonly shard?: WholeShard | undefined;
  readonly ending?: Ending | undefined;
  readonly end: number;
}

export interface StoredJournal {
  readonly identity: Identity;
  readonly entries: readonly Entry[];
  /** Where the first line ends. */
  readonly start: number;
}

/** A line that was cut off, or damaged with the disk, ends what is read. Undefined where there is no journal. @throws ERR_IO */
export async function readJournal(folder: string): Promise<StoredJournal | undefined> {
  const path = join(folder, journalName);
  let handle: FileHandle;
  try {
    handle = await open(path, "r");
  } catch (error) {
    if (systemCode(error) === "ENOENT" || systemCode(error) === "ENOTDIR") return undefined;
    throw ioError("read", path, error);
  }
  try {
    const bytes = await io("read", path, handle.readFile());
    let identity: Identity | undefined;
    let start = 0;
    const entries: Entry[] = [];
    for (let at = 0, next = bytes.indexOf(10); next >= 0; at = next + 1, next = bytes.indexOf(10, at)) {
      const line = lineOf(bytes.toString("utf8", at, next));
      if (line === undefined) break;
      if (identity !== undefined) entries.push({ ...readAs(entry, line), end: next + 1 });
      else {
        const first = readAs(beginning, line);
        if (first?.format !== format) return undefined;
        identity = first.identity;
        start = next + 1;
      }
    }
    return identity && { identity, entries, start };
  } finally {
    await handle.close();
  }
}

/** A line is a checksum and JSON: what a disk left half written is not taken for an entry. */
function lineOf(line: string): unknown {
  const json = line.slice(17);
  if (line.slice(0, 16) !== lineHash(json)) return undefined;
  return parseJson(json);
}

function lineHash(json: string): string {
  return createHash("sha256").update(json).digest("hex").slice(0, 16);
}

function readAs<S>(schema: Parameters<typeof check<S>>[0], value: unknown): S {
  return check(schema, value, (place, expected) => {
    throw new Error(`an entry of the journal with a sound checksum: ${place} is not ${expected}`);
  });
}

/** Appends lines. */
export class Journal {
  private constructor(
    private readonly path: string,
    private readonly handle: FileHandle,
  ) {}

  /** A new journal. @throws ERR_IO */
  static async create(folder: string, identity: Identity): Promise<Journal> {
    const path = join(folder, journalName);
    const journal = new Journal(path, await io("write", path, open(path, "ax")));
    await journal.#append({ format, identity });
    return journal;
  }

  /** Goes on behind the entry that ends at `end`; what follows is dropped. @throws ERR_IO */
  static async resume(folder: string, end: number): Promise<Journal> {
    const path = join(folder, journalName);
    const handle = await io("write", path, open(path, "a"));
    await io("write", path, handle.truncate(end));
    return new Journal(path, handle);
  }

  append(one: Omit<Entry, "end">): Promise<void> {
    return this.#append(one);
  }

  async #append(value: object): Promise<void> {
    const json = JSON.stringify(value);
    await io("write", this.path, this.handle.appendFile(`${lineHash(json)} ${json}\n`));
  }

  /** To the disk. */
  flush(): Promise<void> {
    return io("write", this.path, flush(this.handle));
  }

  async close(): Promise<void> {
    await this.handle.close();
  }
}
