// What `extract` writes, row by row: a folder of .npy files or one .safetensors file, with lists beside them. All of it appears under its names at the
// end, of one run; what an earlier run left there and this one does not write is removed.

import { createHash } from "node:crypto";
import { lstat, mkdir, rmdir, stat } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";
import { LibtorchOodError } from "../core/errors";
import { ioError, systemCode } from "../core/file-errors";
import {
  extractionFiles,
  isAsRecorded,
  readIndex,
  readRecord,
  recordedLists,
  recordName,
  type ExtractionRecord,
  type RecordedFile,
  type ShardIndex,
} from "../formats/extraction-record";
import { parseJson } from "../formats/json";
import { isLease, tryLease, type Lease } from "../formats/lease";
import type { ImageFailure } from "../images/failure";
import {
  Columns,
  columnsOf,
  shardBytes,
  stagedName,
  type ExtractedRows,
  type ExtractionForm,
  type WrittenArray,
} from "./extraction-arrays";
import { readJournal, type Ending, type Identity, type WholeShard } from "./extraction-journal";
import { requireSame, StagedFile, Staging } from "./extraction-staging";
import { Verification } from "./extraction-verification";
import { identity } from "./output-files";

export interface Written {
  readonly arrays: WrittenArray[];
  /** Paths of the lists that were written. */
  readonly images: string | undefined;
  readonly classes: string | undefined;
  readonly skipped: string | undefined;
}

export interface ExtractionWriter {
  /** Images that an extraction which was broken off had done, and rows of them; 0 where this one began anew. */
  readonly done: { readonly seen: number; readonly rows: number; readonly skipped: readonly ImageFailure[] };
  /** Images of an unfinished extraction that this one, which did not ask for it, has dropped. */
  readonly dropped: number;
  /** @param precision - what the rows were computed in */
  write(rows: ExtractedRows, precision: string): Promise<void>;
  commit(): Promise<Written>;
  /** Ends without a result. What was written is kept for `--resume`; where that is nothing, nothing is left. @returns images that are kept */
  keep(): Promise<number>;
}

/** Endings of files of other kinds: a folder of that name is not what is wanted. */
const otherFiles = /\.(?:npy|npz|csv|tsv|json|jsonl|txt|parquet|arrow|feather|h5|hdf5|pt|pth|pkl|bin|mat)$/i;

/** Whether the path is that of a .safetensors file; if not, it is a folder. */
export function isTensorsPath(out: string): boolean {
  return extname(out).toLowerCase() === ".safetensors";
}

/** What is wrong with a path to write to, as far as its name tells. */
export function outFault(out: string): string | undefined {
  if (out === "") return "Expected a folder, or a .safetensors file.";
  const [ending] = otherFiles.exec(out) ?? [];
  return ending && `Expected a folder, in which .npy files are written, or a .safetensors file; found a name that ends in ${ending}.`;
}

/**
 * Opens what is written to `out`: a .safetensors file by its ending, else a folder.
 *
 * @param options.identity - what decides the bytes, for a later `--resume`
 * @param options.resume - goes on with an extraction that was broken off, where there is one
 * @throws ERR_IO; ERR_BUSY where another run is writing there; ERR_OPTION for a folder with an array that no run of `extract` wrote and this one would
 *   not replace, and where the extraction that was broken off has another identity
 */
export async function openExtraction(
  out: string,
  form: ExtractionForm,
  { identity = {}, resume = false }: { identity?: Identity; resume?: boolean } = {},
): Promise<ExtractionWriter> {
  const asTensors = isTensorsPath(out);
  const folder = asTensors ? dirname(out) : out;
  const made = await makeFolder(folder);
  const removeMade = async () => {
    for (const path of made.reverse()) await rmdir(path).catch(() => undefined); // another's files are in it now
  };
  try {
    const name = asTensors ? leaseName(basename(out)) : ".extract";
    const lease = await leaseOf(folder, name, out);
    try {
      const kind = asTensors ? (form.shardSize === undefined ? new TensorsKind(out) : new ShardsKind(out)) : new FolderKind(out);
      const run = await Run.open(kind, form, lease, { folder: join(folder, `${name}.unfinished`), identity, resume });
      const { done, dropped } = run;
      return {
        done,
        dropped,
        write: (rows, precision) => run.write(rows, precision),
        commit: async () => {
          try {
            return await run.commit();
          } finally {
            await lease.release();
          }
        },
        keep: async () => {
          const kept = await run.keep();
          await lease.release();
          if (kept === 0) await removeMade();
          return kept;
        },
      };
    } catch (error) {
      await lease.release();
      throw error;
    }
  } catch (error) {
    await removeMade();
    throw error;
  }
}

/**
 * No file that the command reads may be among those that it writes or removes, but for a list of images that an earlier run wrote there.
 *
 * @param inputs - what each is, and its path; undefined where an option was not given
 * @throws ERR_OPTION
 */
export async function requireInputsKept(
  out: string,
  inputs: readonly (readonly [what: string, path: string | undefined])[],
): Promise<void> {
  const asTensors = isTensorsPath(out);
  const kind = asTensors ? new TensorsKind(out) : new FolderKind(out);
  const names = extractionFiles.filter((name) => !asTensors || extname(name) !== ".npy");
  const outputs = [asTensors ? out : join(out, recordName), ...names.map((name) => kind.list(name))];
  const identities = await Promise.all(outputs.map(identity));
  for (const [what, path] of inputs) {
    const found = path === undefined ? undefined : outputs[identities.indexOf(await identity(path))];
    if (found === undefined || (found === kind.list("images.txt") && (await kind.wrote("images.txt")))) continue;
    throw new LibtorchOodError("ERR_OPTION", `--out: expected another file than ${what}, found ${found} for both`);
  }
}

/** Short enough for any file system, and another for every file. */
function leaseName(file: string): string {
  if (file.length <= 40) return `.${file}`;
  return `.${file.slice(0, 40)}-${createHash("sha256").update(file).digest("hex").slice(0, 12)}`;
}

/** How arrays and lists are named and laid out. */
interface Kind {
  readonly as: "npy" | "tensors";
  /** Path of a list, as "images.txt". */
  list(name: string): string;
  /** Whether a list is as an earlier run wrote it. */
  wrote(name: string): Promise<boolean>;
  /** Refuses what would be lost. Gives the paths of an earlier run that this one is to remove. @param shards - how many it writes */
  stale(written: readonly string[], shards: number): Promise<string[]>;
  /** What says which files are of this run, by its name; undefined where the file of the arrays does. */
  record(summary: Summary): { readonly path: string; readonly content: object } | undefined;
  /** Path of an array's file. */
  array(name: string, shard: number, shards: number): string;
  /** Path that the arrays are found at. */
  found(name: string): string;
}

interface Summary {
  readonly rows: number;
  /** Of the arrays, in the order of the shards. */
  readonly shards: readonly WholeShard[];
  readonly lists: Readonly<Record<string, RecordedFile>>;
}

interface RunOptions {
  /** The staging folder. */
  readonly folder: string;
  readonly identity: Identity;
  readonly resume: boolean;
}

const recordStaged = "record";

class Run {
  #seen = 0;
  #rows = 0;
  #precision: string | undefined;
  readonly #skipped: ImageFailure[] = [];
  /** The shard that is being written. */
  #columns: Columns | undefined;
  readonly #shards: WholeShard[] = [];
  #ending: Ending | undefined;
  done: ExtractionWriter["done"] = { seen: 0, rows: 0, skipped: [] };
  dropped = 0;

  private constructor(
    private readonly kind: Kind,
    private readonly form: ExtractionForm,
    private readonly lease: Lease,
    private readonly names: readonly string[],
    private readonly staging: Staging,
    private readonly lists: ReadonlyMap<string, StagedFile>,
  ) {}

  static async open(kind: Kind, form: ExtractionForm, lease: Lease, { folder, identity, resume }: RunOptions): Promise<Run> {
    const { featureName, labels, images, classNames } = form;
    const names = [`${featureName}.npy`, "logits.npy", "skipped.jsonl"];
    if (labels) names.push("labels.npy");
    if (images) names.push("images.txt");
    if (classNames !== undefined) names.push("classes.txt");
    await kind.stale(names, Infinity);
    const stored = await readJournal(folder);
    if (resume && stored !== undefined) requireSame(stored.identity, identity);
    const lists = new Map<string, StagedFile>();
    const make = (staging: Staging) => new Run(kind, form, lease, names, staging, lists);
    const openLists = async (path: (name: string) => string) => {
      for (const name of ["skipped.jsonl", ...(images ? ["images.txt"] : [])]) lists.set(name, await StagedFile.open(path(name), 0));
    };
    if (!resume || stored === undefined) {
      const run = make(await Staging.create(folder, identity));
      run.dropped = stored?.entries.reduce((seen, { piece }) => piece?.seen ?? seen, 0) ?? 0;
      await openLists((name) => run.staging.path(name));
      return run;
    }
    const path = (name: string) => join(folder, name);
    const verification = await Verification.open(path, form, kind.as, lists, stored.entries);
    if (!stored.entries.some(({ ending }) => ending !== undefined)) await openLists(path);
    const { staging, resumed } = await Staging.resume(folder, stored, (entry) => verification.holds(entry));
    const run = make(staging);
    run.#ending = resumed.ending;
    run.#shards.push(...resumed.shards);
    const last = resumed.pieces.at(-1);
    run.#seen = last?.seen ?? 0;
    run.#rows = last?.rows ?? 0;
    run.#precision = last?.precision;
    if (resumed.ending === undefined) {
      run.#columns = await verification.columns();
      for (const file of lists.values()) await file.cut();
      run.#skipped.push(...(await failuresIn(lists.get("skipped.jsonl") as StagedFile)));
    }
    run.done = { seen: run.#seen, rows: run.#rows, skipped: run.#skipped };
    return run;
  }

  async write(rows: ExtractedRows, precision: string): Promise<void> {
    if (this.#precision !== undefined && this.#precision !== precision) {
      const expected = `expected precision ${this.#precision}, as of the rows before`;
      throw new LibtorchOodError("ERR_OPTION", `--resume: ${expected}, found ${precision}; give --precision ${this.#precision}`);
    }
    this.#precision = precision;
    const count = rows.features.shape[0] as number;
    const { shardSize = Infinity } = this.form;
    if (shardSize < Infinity && shardBytes(this.form, count) > shardSize) {
      const expected = `expected at least ${shardBytes(this.form, count)} bytes, as a chunk has`;
      throw new LibtorchOodError("ERR_OPTION", `--shard-size: ${expected}, found ${shardSize}; a smaller --chunk-size needs less`);
    }
    if (this.#columns !== undefined && shardBytes(this.form, this.#columns.rows + count) > shardSize)
      await this.#closeShard(this.#columns, {});
    const shard = this.#shards.length;
    if (this.#columns === undefined) {
      this.#columns = await Columns.open((name) => this.staging.path(name), this.form, shard, this.kind.as);
      await this.#columns.cut(); // what lay there was not sound
    }
    const files = await this.#columns.append(rows);
    const text = (lines: readonly string[]) => [Buffer.from(lines.map((line) => `${line}\n`).join(""))];
    const skipped = rows.skipped.map(({ index, path, code, reason }) => JSON.stringify({ index, path, code, reason }));
    for (const [name, file] of this.lists) files[name] = await file.append(text(name === "images.txt" ? rows.names : skipped));
    this.#rows += count;
    this.#seen += count + rows.skipped.length;
    await this.staging.journal.append({ piece: { seen: this.#seen, rows: this.#rows, precision, shard, files } });
  }

  async #closeShard(columns: Columns, lists: Readonly<Record<string, RecordedFile>>): Promise<void> {
    if (this.kind.as === "tensors") await columns.finishTensors(this.form, lists);
    else await columns.finishNpy();
    const shard = { shard: this.#shards.length, count: columns.rows, arrays: columns.recorded() };
    this.#shards.push(shard);
    this.#columns = undefined;
    if (this.kind.as === "npy") return columns.close();
    await this.staging.journal.append({ shard });
    await columns.removeOthers();
  }

  async commit(): Promise<Written> {
    const ending = this.#ending ?? (await this.#prepare());
    await this.staging.end(ending);
    const listed = (name: string) => (ending.moves.some(({ to }) => to === this.kind.list(name)) ? this.kind.list(name) : undefined);
    const arrays = columnsOf(this.form).map(({ name, dtype, rowShape }) => ({
      name,
      file: this.kind.found(name),
      dtype,
      shape: [this.#rows, ...rowShape],
    }));
    return { arrays, images: listed("images.txt"), classes: listed("classes.txt"), skipped: listed("skipped.jsonl") };
  }

  /** Makes every file whole, on the disk, and says what becomes of them. */
  async #prepare(): Promise<Ending> {
    const { classNames } = this.form;
    const lists = new Map([...this.lists].filter(([name, { length }]) => name !== "skipped.jsonl" || length > 0));
    if (classNames !== undefined) {
      const classes = await StagedFile.open(this.staging.path("classes.txt"), 0);
      await classes.cut();
      await classes.append([Buffer.from(classNames.map((name) => `${name}\n`).join(""))]);
      lists.set("classes.txt", classes);
    }
    const order = ["images.txt", "classes.txt", "skipped.jsonl"].filter((name) => lists.has(name));
    const listed = Object.fromEntries(order.map((name) => [name, (lists.get(name) as StagedFile).recorded()]));
    if (this.#columns !== undefined) await this.#closeShard(this.#columns, this.form.shardSize === undefined ? listed : {});
    for (const file of lists.values()) await file.flush();
    for (const file of new Set([...this.lists.values(), ...lists.values()])) await file.close();
    const written = this.names.filter((name) => !["skipped.jsonl", "images.txt", "classes.txt"].includes(name) || lists.has(name));
    const shards = this.#shards.length;
    const stale = await this.kind.stale(written, shards);
    const record = this.kind.record({ rows: this.#rows, shards: this.#shards, lists: listed });
    if (record !== undefined) {
      const file = await StagedFile.open(this.staging.path(recordStaged), 0);
      await file.cut();
      await file.append([Buffer.from(`${JSON.stringify(record.content, undefined, 2)}\n`)]);
      await file.flush();
      await file.close();
    }
    const arrays = this.#shards.flatMap(({ shard }) =>
      columnsOf(this.form)
        .slice(0, this.kind.as === "tensors" ? 1 : undefined)
        .map(({ name }) => ({ from: stagedName(shard, name), to: this.kind.array(name, shard, shards) })),
    );
    // In this order: an end between two steps leaves arrays that are not those of the record, which readers refuse.
    const moves = [
      ...(record === undefined ? [] : [{ from: recordStaged, to: record.path }]),
      ...[...lists.keys()].map((name) => ({ from: name, to: this.kind.list(name) })),
      ...arrays,
    ];
    if (!(await this.lease.held())) {
      const name = this.kind.found(this.form.featureName);
      throw new LibtorchOodError("ERR_BUSY", `${name}: its lease is gone: another run has taken it over, or it was removed`);
    }
    const ending = { stale, moves };
    await this.staging.journal.append({ ending });
    await this.staging.journal.flush();
    return ending;
  }

  async keep(): Promise<number> {
    await this.#columns?.close();
    for (const file of this.lists.values()) await file.close().catch(() => undefined);
    await this.staging.close();
    if (this.#rows > 0) return this.#seen;
    await Staging.remove(this.staging.folder);
    return 0;
  }
}

const notOwn = "which this run does not write and which is not as an earlier one wrote it";

/** Whether a file is as the record of an earlier run has it: that run's, and nobody's work since. */
async function isOwn(path: string, name: string, record: Readonly<Record<string, RecordedFile>> | undefined): Promise<boolean> {
  const recorded = record !== undefined && Object.hasOwn(record, name) ? record[name] : undefined;
  return recorded !== undefined && isAsRecorded(path, recorded);
}

/** A folder of .npy files, with a record of which are of one run. */
class FolderKind implements Kind {
  readonly as = "npy";

  constructor(private readonly folder: string) {}

  list(name: string): string {
    return join(this.folder, name);
  }

  async wrote(name: string): Promise<boolean> {
    return isOwn(this.list(name), name, (await readRecord(this.folder))?.files);
  }

  async stale(written: readonly string[]): Promise<string[]> {
    const there: string[] = [];
    for (const name of extractionFiles) if (!written.includes(name) && (await exists(join(this.folder, name)))) there.push(name);
    if (there.length === 0) return [];
    const record: ExtractionRecord | undefined = await readRecord(this.folder);
    for (const name of there) {
      if (await isOwn(this.list(name), name, record?.files)) continue;
      const expected = "expected a folder for the arrays of one run";
      throw new LibtorchOodError(
        "ERR_OPTION",
        `${this.folder}: ${expected}, found ${name}, ${notOwn}; remove it, or choose another folder`,
      );
    }
    return there.map((name) => this.list(name));
  }

  record({ rows, shards, lists }: Summary): { path: string; content: ExtractionRecord } {
    const arrays = Object.fromEntries(Object.entries(shards[0]?.arrays ?? {}).map(([name, recorded]) => [`${name}.npy`, recorded]));
    const content = { format: "libtorch-ood extraction", version: 1, count: rows, files: { ...arrays, ...lists } } as const;
    return { path: join(this.folder, recordName), content };
  }

  array(name: string): string {
    return join(this.folder, `${name}.npy`);
  }

  found(name: string): string {
    return this.array(name);
  }
}

/** One .safetensors file, and lists whose names begin with its own. */
class TensorsKind implements Kind {
  readonly as = "tensors";

  constructor(protected readonly path: string) {}

  list(name: string): string {
    return `${this.path.slice(0, -".safetensors".length)}.${name}`;
  }

  async wrote(name: string): Promise<boolean> {
    return isOwn(this.list(name), name, await this.#recorded());
  }

  async stale(written: readonly string[], _shards: number): Promise<string[]> {
    const lists = extractionFiles.filter((name) => extname(name) !== ".npy" && !written.includes(name));
    const there: string[] = [];
    for (const name of lists) if (await exists(this.list(name))) there.push(name);
    const record = await this.#recorded();
    for (const name of there) {
      if (await isOwn(this.list(name), name, record)) continue;
      const found = `${this.list(name)}, ${notOwn}`;
      throw new LibtorchOodError(
        "ERR_OPTION",
        `${this.path}: expected only lists of the run that wrote it beside it, found ${found}; move it away, or choose another name`,
      );
    }
    const index = await this.#index();
    return [
      ...there.map((name) => this.list(name)),
      ...(index === undefined ? [] : [shardIndexPath(this.path), ...index.shards.map(({ file }) => join(dirname(this.path), file))]),
    ];
  }

  record(_: Summary): { path: string; content: object } | undefined {
    return undefined; // all arrays are in one file
  }

  array(_name: string, _shard: number, _shards: number): string {
    return this.path;
  }

  found(_name: string): string {
    return this.path;
  }

  async #recorded(): Promise<Readonly<Record<string, RecordedFile>> | undefined> {
    return (await this.#index())?.lists ?? (await recordedLists(this.path));
  }

  /** Of the shards that an earlier run wrote under this name. */
  async #index(): Promise<ShardIndex | undefined> {
    const path = shardIndexPath(this.path);
    return (await exists(path)) ? readIndex(path) : undefined;
  }
}

/** Shards of bounded size, with an index; named as those of other programs that write .safetensors files. */
class ShardsKind extends TensorsKind {
  override async stale(written: readonly string[], shards: number): Promise<string[]> {
    const own = Array.from({ length: shards === Infinity ? 0 : shards }, (_, shard) => this.array("", shard, shards));
    const earlier = await super.stale(written, shards);
    const single = (await exists(this.path)) ? [this.path] : [];
    return [...earlier, ...single].filter((path) => path !== this.found("") && !own.includes(path));
  }

  override record({ rows, shards, lists }: Summary): { path: string; content: ShardIndex } {
    const files = shards.map(({ shard, count, arrays }) => ({ file: basename(this.array("", shard, shards.length)), count, arrays }));
    const content = { format: "libtorch-ood extraction", version: 1, count: rows, shards: files, lists } as const;
    return { path: this.found(""), content };
  }

  override array(_name: string, shard: number, shards: number): string {
    const number = (value: number) => String(value).padStart(5, "0");
    return `${this.path.slice(0, -".safetensors".length)}-${number(shard + 1)}-of-${number(shards)}.safetensors`;
  }

  override found(_name: string): string {
    return shardIndexPath(this.path);
  }
}

function shardIndexPath(path: string): string {
  return `${path}.index.json`;
}

/** The images that were left out, as the list has them. */
async function failuresIn(list: StagedFile): Promise<ImageFailure[]> {
  const pieces: Buffer[] = [];
  for await (const piece of list.read(0, list.length)) pieces.push(Buffer.from(piece));
  const lines = Buffer.concat(pieces).toString().split("\n");
  return lines.filter((line) => line !== "").map((line) => parseJson(line) as ImageFailure);
}

/** For as long as the run lasts: two runs that write to one place are a mistake, of which the second is told at once. */
async function leaseOf(folder: string, name: string, out: string): Promise<Lease> {
  for (let tries = 20; ; tries--) {
    const lease = await tryLease(folder, name);
    if (isLease(lease)) return lease;
    if (tries > 0 && lease.pid !== process.pid) {
      // Two that came at once have both stepped back: one of them comes first now.
      await new Promise((resolve) => setTimeout(resolve, 5 + Math.random() * 50));
      continue;
    }
    const holder = `process ${lease.pid} on ${lease.host}`;
    throw new LibtorchOodError("ERR_BUSY", `${out}: another extraction is writing to it (${holder}); wait for it, or choose another --out`);
  }
}

/** Makes a folder and those that it lies in; gives those that were not there, outermost first. @throws ERR_IO */
async function makeFolder(path: string): Promise<string[]> {
  const made: string[] = [];
  const make = async (folder: string, hasParent: boolean): Promise<void> => {
    try {
      await mkdir(folder);
      made.push(folder);
    } catch (error) {
      const parent = dirname(folder);
      if (systemCode(error) === "ENOENT" && parent !== folder && !hasParent) {
        await make(parent, false);
        return make(folder, true);
      }
      const status = await stat(folder).catch(() => undefined);
      if (status?.isDirectory()) return;
      const isLink = status === undefined && (await lstat(folder).catch(() => undefined))?.isSymbolicLink();
      const found = status !== undefined ? "a file" : isLink ? "a link to what is not there" : undefined;
      throw ioError("create", path, found === undefined ? error : `${folder}: expected a folder, found ${found}`);
    }
  };
  await make(path, false);
  return made;
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (systemCode(error) === "ENOENT") return false;
    throw ioError("read", path, error);
  }
}
