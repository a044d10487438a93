// Writes a file so that a reader sees either the whole old file or the whole new one, whatever happens meanwhile.

import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { chmod, open, readdir, realpath, rename, stat, unlink, utimes, type FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { LibtorchOodError } from "../core/errors";
import { io, ioError, systemCode } from "../core/file-errors";
import { flush } from "./flush";

/** One write call never takes more than this: Linux moves 2 GiB − 4 KiB at most. */
const bytesPerCall = 64 * 1024 * 1024;

/** A file that is being written. Nobody sees it before {@link AtomicFile.commit}, and what was at its path stays until then. */
export interface AtomicFile {
  /**
   * The bytes must not be changed until the promise settles. Bytes may be written again, and in any order.
   * @throws ERR_IO; ERR_SHAPE where their memory goes meanwhile
   */
  write(bytes: Uint8Array, position: number): Promise<void>;
  /** Flushes to the disk, renames to the path and flushes the directory; removes the new file where that fails. @throws ERR_IO */
  commit(): Promise<void>;
  /** Removes the new file. Idempotent, and nothing after a commit. */
  discard(): Promise<void>;
}

/**
 * Opens a new file in the directory of `path` that takes the place of `path` by {@link AtomicFile.commit}, for writers that learn only at the end
 * what the beginning must say.
 *
 * A symbolic link is followed (its target is replaced) and the mode of a replaced file is kept. Two writers of the same
 * path do not disturb each other: the last to finish wins. New files that a killed writer of the same path left are removed.
 * What is no file (a folder, a device, a pipe, a socket, also behind a link or as `/proc/self/fd/1`) is never replaced.
 *
 * @throws ERR_IO with the operating system's error (ENOSPC, EACCES, ENOENT, ...) as cause, or for a path that is there and is no file
 */
export async function openAtomicFile(path: string): Promise<AtomicFile> {
  const mode = await modeOf(path);
  const target = await followLink(path, mode !== undefined);
  const directory = dirname(target);
  // The name is cut so that the suffix fits where the target's own name is as long as the file system allows.
  const prefix = `.${basename(target).slice(0, 40)}.`;
  const temporary = join(directory, `${prefix}${process.pid}-${randomBytes(6).toString("hex")}.tmp`);
  const handle = await io("write", path, openNew(temporary, mode));
  const heartbeat = setInterval(() => {
    const now = new Date();
    utimes(temporary, now, now).catch(() => undefined);
  }, heartbeatMs);
  heartbeat.unref();
  let closed = false;
  const close = async () => {
    if (closed) return;
    closed = true;
    await io("write", path, handle.close());
  };
  let over = false;
  const discard = async () => {
    if (over) return;
    over = true;
    clearInterval(heartbeat);
    await close().catch(() => undefined); // the error that brought us here matters more
    await unlink(temporary).catch(() => undefined);
  };
  return {
    write: (bytes, position) => writeAll(handle, path, bytes, position),
    discard,
    commit: async () => {
      try {
        await io("write", path, flush(handle));
        await close();
        await modeOf(path); // it may have become a device meanwhile
        await io("write", path, rename(temporary, target));
        over = true;
        clearInterval(heartbeat);
      } catch (error) {
        await discard();
        throw error;
      }
      await syncDirectory(directory, path);
      await removeAbandoned(directory, prefix);
    },
  };
}

/**
 * Writes the chunks, one after the other, to a new file in the same directory, flushes it to the disk, renames it to `path`
 * and flushes the directory. When anything fails before the rename, the new file is removed and what was at `path` stays.
 * Links, modes, and other writers of the same path: as {@link openAtomicFile} says. The chunks must not be changed until the promise settles.
 *
 * @param chunks - may be lazy; each is written before the next is asked for, so that nothing is held twice in memory
 * @throws ERR_IO with the operating system's error (ENOSPC, EACCES, ENOENT, ...) as cause; what the iterable throws, as it is
 */
export async function writeFileAtomically(path: string, chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void> {
  const file = await openAtomicFile(path);
  try {
    let position = 0;
    for await (const chunk of chunks) {
      await file.write(chunk, position);
      position += chunk.length;
    }
  } catch (error) {
    await file.discard();
    throw error;
  }
  await file.commit();
}

/**
 * Gives a whole, flushed file the name `path`, as {@link openAtomicFile} does with the file that it wrote: a link is followed, and the mode of a replaced
 * file is kept. Where the path leads to another file system, the file is copied there.
 *
 * @throws ERR_IO
 */
export async function moveIntoPlace(from: string, path: string): Promise<void> {
  const mode = await modeOf(path);
  const target = await followLink(path, mode !== undefined);
  if (mode !== undefined) await io("write", path, chmod(from, mode));
  try {
    await rename(from, target);
  } catch (error) {
    if (systemCode(error) !== "EXDEV") throw ioError("write", path, error);
    await writeFileAtomically(path, createReadStream(from, { highWaterMark: 1 << 20 }) as AsyncIterable<Uint8Array>);
    await io("remove", from, unlink(from));
    return;
  }
  await syncDirectory(dirname(target), path);
}

/**
 * Interval at which a writer's file is touched. A file that was not touched for much longer is abandoned. The number of its process alone says
 * nothing: the writer may be on another machine or in another container, where numbers mean other processes, or be a worker of this process that was
 * terminated.
 */
const heartbeatMs = 20_000;
const abandonedAfterMs = 10 * 60_000;

/** Removes what writers of the same file left behind that were killed. Whatever cannot be removed stays, and so does that of a process that is stopped. */
async function removeAbandoned(directory: string, prefix: string): Promise<void> {
  const names = await readdir(directory).catch(() => []);
  for (const name of names) {
    const [, pid] = (name.startsWith(prefix) && /^(\d+)-[0-9a-f]{12}\.tmp$/.exec(name.slice(prefix.length))) || [];
    if (pid === undefined || (Number(pid) !== process.pid && isRunning(Number(pid)))) continue;
    const file = join(directory, name);
    const modified = await stat(file).then(
      ({ mtimeMs }) => mtimeMs,
      () => Infinity,
    );
    if (Date.now() - modified > abandonedAfterMs) await unlink(file).catch(() => undefined);
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCode(error) !== "ESRCH";
  }
}

async function writeAll(handle: FileHandle, path: string, chunk: Uint8Array, position: number): Promise<void> {
  const { length: all } = chunk;
  for (let done = 0; done < all;) {
    const length = Math.min(bytesPerCall, all - done);
    const { bytesWritten } = await io("write", path, handle.write(chunk, done, length, position + done));
    if (bytesWritten === 0) throw ioError("write", path, "the file system took no bytes");
    done += bytesWritten;
    if (chunk.length === all) continue;
    const expected = `${all} bytes until they are written (has their buffer been transferred or resized?)`;
    throw new LibtorchOodError("ERR_SHAPE", `${path}: expected ${expected}, found ${chunk.length}`);
  }
}

/** @param there - whether the path leads to a file */
async function followLink(path: string, there: boolean): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (systemCode(error) === "ENOENT" && !there) return path; // new, or a link to nothing, which is replaced
    throw ioError("write", path, error);
  }
}

/**
 * The mode of the file that is there; undefined where there is none.
 *
 * @throws ERR_IO for anything but a file: a new file in place of `/dev/null` would break every program of the machine
 */
async function modeOf(path: string): Promise<number | undefined> {
  let status;
  try {
    status = await stat(path);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw ioError("write", path, error);
  }
  if (status.isFile()) return status.mode & 0o7777;
  if (status.isDirectory()) throw ioError("write", path, Object.assign(new Error("EISDIR: it is a directory"), { code: "EISDIR" }));
  const kind = status.isFIFO() ? "a pipe" : status.isSocket() ? "a socket" : "a device";
  throw ioError("write", path, `expected a file or nothing there, found ${kind}`);
}

/**
 * Opens the new file with the mode of the file that it replaces. The mode is changed by name, because Node's permission model lets no program change
 * the mode of an open file. At no moment is the file more open than the one that it replaces.
 */
async function openNew(path: string, mode: number | undefined): Promise<FileHandle> {
  if (mode === undefined) return open(path, "wx");
  const handle = await open(path, "wx", mode & 0o777);
  try {
    await chmod(path, mode); // what the umask took away
    return handle;
  } catch (error) {
    await handle.close();
    await unlink(path).catch(() => undefined);
    throw error;
  }
}

/** A rename is durable only when the directory is on the disk too. Windows and some network file systems cannot flush one. */
async function syncDirectory(directory: string, path: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await io("flush the directory of", path, open(directory, "r"));
  try {
    await flush(handle);
  } catch (error) {
    const code = systemCode(error);
    if (code !== "EINVAL" && code !== "ENOTSUP" && code !== "EISDIR") throw ioError("flush the directory of", path, error);
  } finally {
    await handle.close();
  }
}
