// Finds the image files in a folder and the folders below it: each real folder once, whatever links lead to it; names that begin with a dot are ignored.

import type { Dirent } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { isLibtorchOodError } from "../core/errors";
import { ioError, systemCode } from "../core/file-errors";
import { pathBytes, pathOfBytes, pathText, type Path } from "../formats/path-text";
import { abortError } from "../native/call";

const decodable = /\.(?:png|apng|jpe?g|jpe|jfif|webp|gif|tiff?|avif)$/i;
/** Endings of images that cannot be read here. Ignored without a word, such files would make a set another one. */
const undecodable = /\.(?:heic|heif|bmp|ppm|pgm|pbm|pnm|jp2|j2k|jxl|svg|ico|psd|dng|cr2|nef|arw)$/i;

/** Whether a file is an image that can be read here, by the ending of its name. */
export function isDecodable(name: string): boolean {
  return decodable.test(name);
}

/** Endings of the files that are found, in words. */
export const imageEndings = ".png, .apng, .jpg, .jpeg, .jpe, .jfif, .webp, .gif, .tif, .tiff or .avif";

/** A folder below the root (or the root itself) and the images in it. */
export interface ImagesOfFolder {
  /** Path relative to the root, with slashes; empty for the root. */
  readonly folder: Buffer;
  /** Names sorted by their bytes, which is the order of code points. */
  readonly names: readonly Buffer[];
}

export interface ImageTree {
  /** Folders sorted by their bytes. */
  readonly folders: readonly ImagesOfFolder[];
  /** Image files of formats that cannot be read here, relative to the root. */
  readonly undecodable: readonly Buffer[];
}

export interface ImageTreeOptions {
  signal: AbortSignal | undefined;
  /** How to treat a link to a folder that it lies in: ignore it (the folder is read already), or throw ERR_IO. */
  loops: "pass" | "refuse";
  /** Function that is told of a folder that cannot be read. Without it, such a folder ends the call. */
  onUnreadable?: (path: Path, error: Error) => void;
}

interface Folder {
  readonly relative: Buffer;
  /** Device and inode of the folders that this one lies in. */
  readonly parents: readonly string[];
}

const slash = Buffer.from("/");
const dot = 0x2e;

/**
 * Finds images as `find -L` finds files: it follows links and reads each real folder once, under its own name if it has one in the tree.
 *
 * @throws ERR_IO if a folder cannot be read; ERR_ABORTED after an abort
 */
export async function imageTree(root: Path, { signal, loops, onUnreadable }: ImageTreeOptions): Promise<ImageTree> {
  const folders: ImagesOfFolder[] = [];
  const foreign: Buffer[] = [];
  const seen = new Set<string>();
  const base = pathBytes(root);
  const at = (relative: Buffer): Path => pathOfBytes(join(base, relative));
  const real: Folder[] = [{ relative: Buffer.alloc(0), parents: [] }];
  const linked: Folder[] = [];
  let batch: Folder[] = [];
  const unreadable = (relative: Buffer, error: unknown): void => {
    if (isLibtorchOodError(error)) throw error;
    const path = at(relative);
    const failure = ioError("read", pathText(path), error);
    if (onUnreadable === undefined || relative.length === 0) throw failure;
    onUnreadable(path, failure);
  };
  const leadsToFolder = (relative: Buffer): Promise<boolean> =>
    isFolder(at(relative)).catch((error: unknown) => {
      unreadable(relative, error);
      return false;
    });

  const read = async ({ relative, parents }: Folder): Promise<void> => {
    const path = at(relative);
    const { dev, ino } = await stat(path, { bigint: true });
    const identity = `${dev} ${ino}`;
    if (loops === "refuse" && parents.includes(identity)) {
      throw ioError("read", pathText(path), "it is a link to a folder that it lies in");
    }
    if (seen.has(identity)) return;
    seen.add(identity);
    const names: Buffer[] = [];
    const below = [...parents, identity];
    for (const entry of await entries(path)) {
      const { name } = entry;
      if (name[0] === dot) continue;
      const place = { relative: join(relative, name), parents: below };
      if (entry.isDirectory()) real.push(place);
      else if (entry.isSymbolicLink() && (await leadsToFolder(place.relative))) linked.push(place);
      else if (isDecodable(name.toString("latin1"))) names.push(name);
      else if (undecodable.test(name.toString("latin1"))) foreign.push(place.relative);
      if (signal?.aborted) throw abortError(signal);
    }
    if (names.length > 0) folders.push({ folder: relative, names: names.sort(byBytes) });
  };

  for (let next = take(); next !== undefined; next = take()) {
    if (signal?.aborted) throw abortError(signal);
    try {
      await read(next);
    } catch (error) {
      unreadable(next.relative, error);
    }
  }
  return { folders: folders.sort((a, b) => byBytes(a.folder, b.folder)), undecodable: foreign.sort(byBytes) };

  /** Real folders first: one that a link leads to as well is then read under its own name. */
  function take(): Folder | undefined {
    if (real.length > 0) return real.pop();
    if (batch.length === 0) batch = linked.splice(0).sort((a, b) => byBytes(b.relative, a.relative));
    return batch.pop();
  }
}

/** Names of the folders in a folder, links to folders included; names that begin with a dot are ignored. @throws ERR_IO if it cannot be read */
export async function foldersIn(path: Path): Promise<Buffer[]> {
  const found: Buffer[] = [];
  try {
    for (const entry of await entries(path)) {
      if (entry.name[0] === dot) continue;
      const place = pathOfBytes(join(pathBytes(path), entry.name));
      if (entry.isDirectory() || (entry.isSymbolicLink() && (await isFolder(place)))) found.push(entry.name);
    }
  } catch (error) {
    throw ioError("read", pathText(path), error);
  }
  return found.sort(byBytes);
}

/** Compares names as bytes, which gives the order of their code points. */
export function byBytes(a: Buffer, b: Buffer): number {
  return Buffer.compare(a, b);
}

/** Python's order of strings. JavaScript's own is by UTF-16 units, which puts emoji before U+E000 to U+FFFF. */
export function byCodePoints(a: string, b: string): number {
  return byBytes(Buffer.from(a), Buffer.from(b));
}

/** Joins two paths, with a slash between them if one is needed. */
export function join(folder: Buffer, name: Buffer): Buffer {
  if (folder.length === 0 || name.length === 0) return folder.length === 0 ? name : folder;
  return folder.at(-1) === slash[0] ? Buffer.concat([folder, name]) : Buffer.concat([folder, slash, name]);
}

function entries(path: Path): Promise<Dirent<Buffer>[]> {
  return readdir(path, { withFileTypes: true, encoding: "buffer" }) as Promise<unknown> as Promise<Dirent<Buffer>[]>;
}

/** The target of a link; a link to nothing, or to itself, is no folder. */
async function isFolder(path: Path): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    const code = systemCode(error);
    if (code === "ENOENT" || code === "ELOOP") return false;
    throw error;
  }
}
