// Where the arrays of an extraction lie: a folder of .npy files, one .npy file, a .safetensors file, or shards of one with an index.

import { readdir, stat } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";
import { describe } from "../core/checks";
import { dtypes, plainOf, type ArrayDtype } from "../core/dtype";
import { LibtorchOodError } from "../core/errors";
import { corruptFile, io, systemCode } from "../core/file-errors";
import { modelOutputs, type ModelOutput } from "../core/model-outputs";
import { readClassNames } from "./class-list";
import { isAsRecorded, readIndex, readRecord, recordedLists, recordName, type RecordedFile } from "./extraction-record";
import { openNpy } from "./npy-file";
import { readExactly } from "./regular-file";
import { openSafetensors, type SafetensorsFile } from "./safetensors";
import { dtypeIn, isNumericDtype } from "./safetensors-data";
import type { StoredRows } from "./stored-array";

/** The arrays beside the model outputs. */
const otherNames = ["weight", "labels", "bias"] as const;
/** The name of an array that a file of features may hold. */
export type FeaturesName = ModelOutput | (typeof otherNames)[number];
export const featuresNames: readonly FeaturesName[] = [...modelOutputs, ...otherNames];

/** What is found at a path; the caller calls `close` when it is done with the arrays. */
export interface FeaturesLayout {
  /** The rows of each array, in order; several parts where they are in shards. */
  readonly arrays: ReadonlyMap<FeaturesName, readonly StoredRows[]>;
  close(): Promise<void>;
}

/** What opens files, and closes all of them where one of them fails. */
class Opened {
  readonly #closers: (() => Promise<void>)[] = [];
  readonly arrays = new Map<FeaturesName, StoredRows[]>();

  add(name: FeaturesName, rows: StoredRows): void {
    requireForm(rows, name);
    const before = this.arrays.get(name);
    const [first] = before ?? [];
    if (before === undefined) this.arrays.set(name, [rows]);
    else {
      const [found, expected] = [rows, first as StoredRows].map(
        ({ dtypeName, layout }) => `${dtypeName} [rows, ${layout.shape.slice(1).join(", ")}]`,
      );
      if (found !== expected) throw corruptFile(rows.where, `${expected}, as in the first shard`, String(found));
      before.push(rows);
    }
  }

  onClose(close: () => Promise<void>): void {
    this.#closers.push(close);
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0)) await close();
  }
}

/**
 * Finds the arrays, and reads no more of them than their headers.
 *
 * @throws ERR_CORRUPT_FILE, ERR_IO; ERR_SHAPE, ERR_DTYPE for arrays that are no matrix or list of real numbers; ERR_OPTION where none has a known name
 */
export async function findFeatures(path: string): Promise<FeaturesLayout> {
  const opened = new Opened();
  try {
    const isFolder = await folderAt(path);
    if (isFolder) await addFolder(opened, path);
    else if (extname(path).toLowerCase() === ".npy") await addNpy(opened, "features", path);
    else {
      const index = await indexOf(path);
      if (index === undefined) await addTensors(opened, path, featuresNames);
      else await addShards(opened, index);
    }
    return opened;
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** A list of labels by itself, in a .npy file. @throws as {@link findFeatures} */
export async function findLabels(path: string): Promise<FeaturesLayout> {
  const opened = new Opened();
  try {
    await addNpy(opened, "labels", path);
    return opened;
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** False for a .safetensors name that only its index stands beside. */
async function folderAt(path: string): Promise<boolean> {
  if ((await indexOf(path)) !== undefined) return false;
  return (await io("read", path, stat(path))).isDirectory();
}

const indexEnding = ".index.json";

/** The index that a path names, or that stands in for the .safetensors file of that name. */
async function indexOf(path: string): Promise<string | undefined> {
  if (path.endsWith(indexEnding)) return path;
  if (extname(path).toLowerCase() !== ".safetensors" || (await isThere(path))) return undefined;
  return (await isThere(path + indexEnding)) ? path + indexEnding : undefined;
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: unknown) => systemCode(error) !== "ENOENT",
  );
}

async function addFolder(opened: Opened, folder: string): Promise<void> {
  const record = await readRecord(folder);
  for (const name of featuresNames) {
    const file = `${name}.npy`;
    if (!(await isThere(join(folder, file)))) continue;
    const recorded = record !== undefined && Object.hasOwn(record.files, file) ? record.files[file] : undefined;
    await addNpy(opened, name, join(folder, file), recorded);
  }
  if (modelOutputs.some((name) => opened.arrays.has(name))) return;
  const files = (await io("read", folder, readdir(folder))).filter((name) => name.endsWith(".npy"));
  throw nothingFound(folder, "features.npy", files);
}

async function addNpy(opened: Opened, name: FeaturesName, path: string, recorded?: RecordedFile): Promise<void> {
  const { handle, layout, dataOffset, byteLength } = await openNpy(path);
  opened.onClose(() => handle.close());
  const { stored, ...rest } = layout;
  const advice = `if you changed it yourself, remove ${recordName}; else extract again`;
  if (recorded !== undefined && recorded.bytes !== byteLength) throw changed(path, advice);
  const read = (position: number, into: Uint8Array) => readExactly(handle, path, position, into);
  opened.add(name, { where: path, path, read, dtype: stored, dtypeName: plainOf(stored), layout: rest, dataOffset, recorded, advice });
}

/** @throws ERR_CORRUPT_FILE */
export function changed(where: string, advice: string | undefined): LibtorchOodError {
  const found = advice === undefined ? "other values" : `other values (${advice})`;
  return corruptFile(where, `what the run of ${recordName} wrote`, found);
}

async function addTensors(
  opened: Opened,
  path: string,
  names: readonly FeaturesName[],
  recorded: Readonly<Record<string, RecordedFile>> = {},
): Promise<SafetensorsFile> {
  const file = await openSafetensors(path);
  opened.onClose(() => file.close());
  for (const name of names) {
    const entry = file.tensors.get(name);
    if (entry === undefined) continue;
    const layout = { shape: entry.shape, bigEndian: false, fortran: false };
    const advice = "extract again";
    const own = Object.hasOwn(recorded, name) ? recorded[name] : undefined;
    if (own !== undefined && own.bytes !== entry.byteLength) throw changed(`${path}: ${name}`, advice);
    opened.add(name, {
      where: `${path}: ${name}`,
      path,
      read: (position, into) => file.readAt(position, into),
      dtype: dtypeIn(entry.dtype),
      dtypeName: entry.dtype,
      layout,
      dataOffset: entry.byteOffset,
      recorded: own,
      advice,
    });
  }
  if (modelOutputs.some((name) => opened.arrays.has(name))) return file;
  const found = Array.from(file.tensors, ([name, { dtype, shape }]) => `${describe(name)} ${dtype} [${shape.join(", ")}]`);
  throw nothingFound(path, 'a tensor "features"', found);
}

async function addShards(opened: Opened, path: string): Promise<void> {
  const index = await readIndex(path);
  let names: readonly FeaturesName[] | undefined;
  for (const { file, count, arrays } of index.shards) {
    const shard = join(dirname(path), file);
    const own = Object.keys(arrays) as FeaturesName[];
    names ??= own;
    if (own.join() !== names.join()) throw corruptFile(path, `arrays of ${names.join(", ")} in ${file}`, own.join(", "));
    await addTensors(opened, shard, names, arrays);
    for (const name of names) {
      const rows = opened.arrays.get(name)?.at(-1);
      const length = rows?.path === shard ? rows.layout.shape[0] : undefined;
      if (length !== count)
        throw corruptFile(`${shard}: ${name}`, `${count} rows, as in ${basename(path)}`, length === undefined ? "none" : `${length}`);
    }
  }
}

/**
 * The names of the labels as `extract` writes them beside its arrays, `classes.txt` in a folder or `FILE.classes.txt`; undefined where there are none.
 *
 * @throws ERR_CORRUPT_FILE where they are not those of the run that wrote the arrays, or no names; ERR_IO
 */
export async function readClassesBeside(path: string): Promise<string[] | undefined> {
  const index = await indexOf(path);
  const isFolder =
    index === undefined &&
    (await stat(path).then(
      (status) => status.isDirectory(),
      () => false,
    ));
  const tensors = index === undefined ? path : index.slice(0, -indexEnding.length);
  const ending = extname(tensors);
  if (!isFolder && ending.toLowerCase() !== ".safetensors") return undefined;
  const list = isFolder ? join(path, "classes.txt") : `${tensors.slice(0, -ending.length)}.classes.txt`;
  if (!(await isThere(list))) return undefined;
  const names = await readClassNames(list);
  const record = isFolder
    ? (await readRecord(path))?.files
    : index === undefined
      ? await recordedLists(path)
      : (await readIndex(index)).lists;
  const recorded = record !== undefined && Object.hasOwn(record, "classes.txt") ? record["classes.txt"] : undefined;
  if (recorded !== undefined && !(await isAsRecorded(list, recorded))) {
    const advice = isFolder ? `; if you changed it yourself, remove ${recordName}` : "";
    throw corruptFile(list, "what the run that wrote the arrays wrote", `another content${advice}`);
  }
  return names;
}

function nothingFound(path: string, expected: string, found: readonly string[]): LibtorchOodError {
  const more = found.length > 8 ? `, … (${found.length})` : "";
  const list = found.length === 0 ? "none" : found.slice(0, 8).join(", ") + more;
  return new LibtorchOodError("ERR_OPTION", `${path}: expected ${expected} (or rawFeatures, logits), found ${list}`);
}

/** @throws ERR_DTYPE, ERR_SHAPE */
function requireForm({ where, dtype, dtypeName, layout: { shape } }: StoredRows, name: FeaturesName): void {
  const isLabels = name === "labels";
  if (!isNumericDtype(dtypes[dtype].safetensors)) {
    throw new LibtorchOodError("ERR_DTYPE", `${where}: expected real numbers of 16 bits or more, found ${dtypeName}`);
  }
  if (isLabels && plainOf(dtype as ArrayDtype).startsWith("float")) {
    throw new LibtorchOodError("ERR_DTYPE", `${where}: expected whole numbers (array.astype("int64") gives them), found ${dtypeName}`);
  }
  const dimensions = isLabels || name === "bias" ? 1 : 2;
  // Rows without columns: a file of 100 bytes may state 2^52 of them.
  if (shape.length !== dimensions || (shape[1] === 0 && shape[0] !== 0)) {
    const expected = dimensions === 2 ? "a matrix [N, columns]" : "a list [N]";
    throw new LibtorchOodError("ERR_SHAPE", `${where}: expected ${expected}, found [${shape.join(", ")}]`);
  }
}
