// Compares what a broken-off extraction left with its journal, entry after entry; what follows the first difference is not used.

import { createHash } from "node:crypto";
import { isLibtorchOodError } from "../core/errors";
import type { RecordedFile } from "../formats/extraction-record";
import { openSafetensors } from "../formats/safetensors";
import { Columns, columnsOf, stagedName, type ExtractionForm } from "./extraction-arrays";
import type { Appended, Entry, Piece } from "./extraction-journal";
import type { StagedFile } from "./extraction-staging";

export class Verification {
  #rows = 0;
  #open: { readonly shard: number; readonly columns: Columns } | undefined;

  private constructor(
    private readonly path: (name: string) => string,
    private readonly form: ExtractionForm,
    private readonly as: "npy" | "tensors",
    private readonly lists: ReadonlyMap<string, StagedFile>,
    /** Whether each shard that was made whole is as recorded: the pieces of such a shard are no files any more. */
    private readonly whole: ReadonlyMap<number, boolean>,
  ) {}

  static async open(
    path: (name: string) => string,
    form: ExtractionForm,
    as: "npy" | "tensors",
    lists: ReadonlyMap<string, StagedFile>,
    entries: readonly Entry[],
  ): Promise<Verification> {
    const whole = new Map<number, boolean>();
    const [first] = columnsOf(form).map(({ name }) => name) as [string];
    const ending = entries.some((entry) => entry.ending !== undefined);
    for (const { shard } of entries) {
      if (shard === undefined || ending) continue;
      whole.set(shard.shard, await isWhole(path(stagedName(shard.shard, first)), shard.arrays));
    }
    return new Verification(path, form, as, lists, whole);
  }

  /** Whether the files are as an entry says; what it tells of is then taken. */
  async holds({ piece, shard }: Entry): Promise<boolean> {
    if (shard !== undefined) return this.whole.get(shard.shard) === true;
    if (piece === undefined) return false;
    for (const [name, file] of this.lists) {
      const appended = piece.files[name];
      if (appended === undefined || !(await file.holds(appended))) return false;
    }
    if (!(await this.#holdsRows(piece))) return false;
    for (const [name, file] of this.lists) await file.take(piece.files[name] as Appended);
    this.#rows = piece.rows;
    return true;
  }

  async #holdsRows(piece: Piece): Promise<boolean> {
    const whole = this.whole.get(piece.shard);
    if (whole !== undefined) return whole;
    if (this.#open?.shard !== piece.shard) {
      await this.#open?.columns.close();
      this.#open = { shard: piece.shard, columns: await Columns.open(this.path, this.form, piece.shard, this.as) };
    }
    const { columns } = this.#open;
    if (!(await columns.holds(piece.files))) return false;
    await columns.take(piece.files, piece.rows - this.#rows);
    return true;
  }

  /** The arrays that go on growing; undefined where all that is sound are whole shards. */
  async columns(): Promise<Columns | undefined> {
    await this.#open?.columns.cut();
    return this.#open?.columns;
  }
}

async function isWhole(path: string, arrays: Readonly<Record<string, RecordedFile>>): Promise<boolean> {
  try {
    const file = await openSafetensors(path);
    try {
      for (const [name, { bytes, sha256 }] of Object.entries(arrays)) {
        const entry = file.tensors.get(name);
        if (entry?.byteLength !== bytes) return false;
        const hash = createHash("sha256");
        const buffer = new Uint8Array(1 << 20);
        for (let at = 0; at < bytes; at += buffer.length) {
          const piece = buffer.subarray(0, Math.min(buffer.length, bytes - at));
          await file.readAt(entry.byteOffset + at, piece);
          hash.update(piece);
        }
        if (hash.digest("hex") !== sha256) return false;
      }
      return true;
    } finally {
      await file.close();
    }
  } catch (error) {
    if (isLibtorchOodError(error)) return false;
    throw error;
  }
}
