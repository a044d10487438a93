// The image files in a folder and in those below it: every real folder once, whatever links lead to it, and names that begin with a dot left out.

import type { Dirent } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { isLibtorchOodError } from "../core/errors";
import { ioError, systemCode } from "../core/file-errors";
import { pathBytes, pathOfBytes, pathText, type Path } from "../formats/path-text";
import { abortError } from "../native/call";

const decodable = /\.(?:png|jpe?g|jpe|jfif|webp)$/i;
/** Files that show pictures elsewhere: passed over in silence, they would make a set another one. */
const undecodable = /\.(?:heic|heif|avif|gif|tiff?|bmp|ppm|pgm|pbm|pnm|jp2|j2k|jxl|svg|ico|psd|dng|cr2|nef|arw)$/i;

/** The endings that are looked for, in words. */
export const imageEndings = ".png, .jpg, .jpeg, .jpe, .jfif or .webp";

/** A folder below the root (or the root itself) and the images in it. */
export interface ImagesOfFolder {
  /** Relative to the root, with slashes; empty for the root. */
  readonly folder: Buffer;
  /** Sorted by their bytes, which is the order of code points. */
  readonly names: readonly Buffer[];
}

export interface ImageTree {
  /** Sorted by their bytes. */
  readonly folders: readonly ImagesOfFolder[];
  /** Image files of formats that cannot be read here, relative to the root. */
  readonly undecodable: readonly Buffer[];
}

export interface ImageTreeOptions {
  signal: AbortSignal | undefined;
  /** What becomes of a link to a folder that it lies in: passed over (the folder is read already), or ERR_IO. */
  loops: "pass" | "refuse";
  /** Told of a folder that cannot be read; without it, such a folder ends the call. */
  onUnreadable?: (path: Path, error: Error) => void;
}

interface Folder {
  readonly relative: Buffer;
  /** Device and inode of the folders that it lies in. */
  readonly parents: readonly string[];
}

const slash = Buffer.from("/");
const dot = 0x2e;

/**
 * The images, as `find -L` finds files: links are followed, and each real folder is read once, under its own name where it has one in the tree.
 *
 * @throws ERR_IO, ERR_ABORTED
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
      else if (decodable.test(name.toString("latin1"))) names.push(name);
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

/** Names of the folders in a folder, links to folders included; names that begin with a dot are left out. @throws ERR_IO */
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

/** For sorting names as bytes, which is the order of their code points. */
export function byBytes(a: Buffer, b: Buffer): number {
  return Buffer.compare(a, b);
}

/** Python's order of strings. JavaScript's own is by UTF-16 units, which puts emoji before U+E000 to U+FFFF. */
export function byCodePoints(a: string, b: string): number {
  return byBytes(Buffer.from(a), Buffer.from(b));
}

/** With a slash between them, where one is needed. */
export function join(folder: Buffer, name: Buffer): Buffer {
  if (folder.length === 0 || name.length === 0) return folder.length === 0 ? name : folder;
  return folder.at(-1) === slash[0] ? Buffer.concat([folder, name]) : Buffer.concat([folder, slash, name]);
}

function entries(path: Path): Promise<Dirent<Buffer>[]> {
  return readdir(path, { withFileTypes: true, encoding: "buffer" }) as Promise<unknown> as Promise<Dirent<Buffer>[]>;
}

/** What a link leads to; one to nothing, or to itself, is no folder. */
async function isFolder(path: Path): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    const code = systemCode(error);
    if (code === "ENOENT" || code === "ELOOP") return false;
    throw error;
  }
}
