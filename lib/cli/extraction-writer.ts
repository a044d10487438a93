// What `extract` writes, row by row: a folder of .npy files or one .safetensors file, with lists beside them. All of it appears under its names at the
// end, of one run; what an earlier run left there and this one does not write is removed.

import { createHash } from "node:crypto";
import { lstat, mkdir, rmdir, stat, unlink } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";
import { LibtorchOodError } from "../core/errors";
import { isLease, tryLease, type Lease } from "../formats/lease";
import { openAtomicFile, type AtomicFile } from "../formats/atomic-write";
import { io, ioError, systemCode } from "../core/file-errors";
import {
  openNpyArrays,
  TensorArrays,
  type Arrays,
  type ExtractedRows,
  type ExtractionForm,
  type Part,
  type WrittenArray,
} from "./extraction-arrays";
import {
  extractionFiles,
  isAsRecorded,
  readRecord,
  recordedLists,
  recordName,
  type ExtractionRecord,
  type RecordedFile,
} from "../formats/extraction-record";
import { identity } from "./output-files";

export interface Written {
  readonly arrays: WrittenArray[];
  /** Paths of the lists that were written. */
  readonly images: string | undefined;
  readonly classes: string | undefined;
  readonly skipped: string | undefined;
}

export interface ExtractionWriter {
  write(rows: ExtractedRows): Promise<void>;
  commit(): Promise<Written>;
  /** Nothing is left of what was written. */
  discard(): Promise<void>;
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
 * @throws ERR_IO; ERR_BUSY where another run is writing there; ERR_OPTION for a folder with an array that no run of `extract` wrote and this one would
 *   not replace
 */
export async function openExtraction(out: string, form: ExtractionForm): Promise<ExtractionWriter> {
  const asTensors = isTensorsPath(out);
  const folder = asTensors ? dirname(out) : out;
  const made = await makeFolder(folder);
  const removeMade = async () => {
    for (const path of made.reverse()) await rmdir(path).catch(() => undefined); // another's files are in it now
  };
  try {
    const lease = await leaseOf(folder, asTensors ? leaseName(basename(out)) : ".extract", out);
    const release = async () => {
      await lease.release();
    };
    try {
      const kind = asTensors ? new TensorsKind(out) : new FolderKind(out);
      const run = await Run.open(kind, form, lease);
      return {
        write: (rows) => run.write(rows),
        commit: async () => {
          try {
            return await run.commit();
          } finally {
            await release();
          }
        },
        discard: async () => {
          await run.discard();
          await release();
          await removeMade();
        },
      };
    } catch (error) {
      await release();
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
  /** Path of a list, as "images.txt". */
  list(name: string): string;
  /** Whether a list is as an earlier run wrote it. */
  wrote(name: string): Promise<boolean>;
  /** Refuses what would be lost. Gives the paths of an earlier run that this one is to remove. */
  stale(written: readonly string[]): Promise<string[]>;
  arrays(form: ExtractionForm): Promise<Arrays>;
  /** Before anything appears under its name: says which files are of this run. */
  announce(count: number, files: Record<string, RecordedFile>): Promise<void>;
}

class Run {
  #skipped: Lines | undefined;

  private constructor(
    private readonly kind: Kind,
    private readonly lease: Lease,
    private readonly arrays: Arrays,
    private readonly images: Lines | undefined,
    private readonly classes: Lines | undefined,
    private readonly names: readonly string[],
  ) {}

  static async open(kind: Kind, form: ExtractionForm, lease: Lease): Promise<Run> {
    const { featureName, labels, images, classNames } = form;
    const names = [`${featureName}.npy`, "logits.npy", "skipped.jsonl"];
    if (labels) names.push("labels.npy");
    if (images) names.push("images.txt");
    if (classNames !== undefined) names.push("classes.txt");
    await kind.stale(names);
    const opened: { discard(): Promise<void> }[] = [];
    try {
      const arrays = await kind.arrays(form);
      opened.push(arrays);
      const list = async (name: string): Promise<Lines> => {
        const lines = await Lines.open(name, kind.list(name));
        opened.push(lines);
        return lines;
      };
      const paths = images ? await list("images.txt") : undefined;
      const classes = classNames === undefined ? undefined : await list("classes.txt");
      await classes?.write(classNames ?? []);
      return new Run(kind, lease, arrays, paths, classes, names);
    } catch (error) {
      for (const part of opened) await part.discard();
      throw error;
    }
  }

  async write(rows: ExtractedRows): Promise<void> {
    await this.arrays.write(rows);
    await this.images?.write(rows.names);
    if (rows.skipped.length === 0) return;
    this.#skipped ??= await Lines.open("skipped.jsonl", this.kind.list("skipped.jsonl"));
    await this.#skipped.write(rows.skipped.map(({ index, path, code, reason }) => JSON.stringify({ index, path, code, reason })));
  }

  async commit(): Promise<Written> {
    const lists = [this.images, this.classes, this.#skipped].filter((lines) => lines !== undefined);
    const listed = Object.fromEntries(lists.map((lines) => [lines.name, lines.recorded()]));
    try {
      await this.arrays.finish(listed);
      if (!(await this.lease.held()))
        throw new LibtorchOodError("ERR_BUSY", `${this.arrays.name}: its lease is gone: another run has taken it over, or it was removed`);
      const written = this.#skipped === undefined ? this.names.filter((name) => name !== "skipped.jsonl") : this.names;
      const stale = await this.kind.stale(written);
      const files = { ...this.arrays.recorded(), ...listed };
      // In this order: an end between two steps leaves arrays that are not those of the record, which readers refuse.
      await this.kind.announce(this.arrays.rows, files);
      for (const path of stale) await io("remove", path, unlink(path));
      for (const part of [...lists, this.arrays]) await part.commit();
    } catch (error) {
      await this.discard();
      throw error;
    }
    return { arrays: this.arrays.written(), images: this.images?.path, classes: this.classes?.path, skipped: this.#skipped?.path };
  }

  async discard(): Promise<void> {
    for (const part of [this.arrays, this.images, this.classes, this.#skipped]) await part?.discard();
  }
}

/** A list, one line at a time. */
class Lines implements Part {
  #position = 0;
  readonly #hash = createHash("sha256");

  private constructor(
    readonly name: string,
    readonly path: string,
    private readonly file: AtomicFile,
  ) {}

  static async open(name: string, path: string): Promise<Lines> {
    return new Lines(name, path, await openAtomicFile(path));
  }

  async write(lines: readonly string[]): Promise<void> {
    const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""));
    await this.file.write(bytes, this.#position);
    this.#position += bytes.length;
    this.#hash.update(bytes);
  }

  recorded(): RecordedFile {
    return { bytes: this.#position, sha256: this.#hash.copy().digest("hex") };
  }

  commit(): Promise<void> {
    return this.file.commit();
  }

  discard(): Promise<void> {
    return this.file.discard();
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

  arrays(form: ExtractionForm): Promise<Arrays> {
    return openNpyArrays(this.folder, form);
  }

  async announce(count: number, files: Record<string, RecordedFile>): Promise<void> {
    const record: ExtractionRecord = { format: "libtorch-ood extraction", version: 1, count, files };
    const file = await openAtomicFile(join(this.folder, recordName));
    try {
      await file.write(Buffer.from(`${JSON.stringify(record, undefined, 2)}\n`), 0);
    } catch (error) {
      await file.discard();
      throw error;
    }
    await file.commit();
  }
}

/** One .safetensors file, and lists whose names begin with its own. */
class TensorsKind implements Kind {
  constructor(private readonly path: string) {}

  list(name: string): string {
    return `${this.path.slice(0, -".safetensors".length)}.${name}`;
  }

  async wrote(name: string): Promise<boolean> {
    return isOwn(this.list(name), name, await recordedLists(this.path));
  }

  async stale(written: readonly string[]): Promise<string[]> {
    const lists = extractionFiles.filter((name) => extname(name) !== ".npy" && !written.includes(name));
    const there: string[] = [];
    for (const name of lists) if (await exists(this.list(name))) there.push(name);
    if (there.length === 0) return [];
    const record = await recordedLists(this.path);
    for (const name of there) {
      if (await isOwn(this.list(name), name, record)) continue;
      const found = `${this.list(name)}, ${notOwn}`;
      throw new LibtorchOodError(
        "ERR_OPTION",
        `${this.path}: expected only lists of the run that wrote it beside it, found ${found}; move it away, or choose another name`,
      );
    }
    return there.map((name) => this.list(name));
  }

  arrays(form: ExtractionForm): Promise<Arrays> {
    return TensorArrays.open(this.path, form);
  }

  async announce(): Promise<void> {
    // All arrays are in one file.
  }
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
