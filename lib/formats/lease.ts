// Leases between processes that share a folder: who works on what, seen by all, and void when its owner is gone.
//
// Every process that wants a thing makes a file of its own name beside the others' and then looks whether another living process has one
// too: if so, it steps back. Of two that come at once at least one sees the other, so never both hold it; both may step back. No file is
// ever shared or taken over, so that a dead owner's can be removed by anybody at any time.

import { randomBytes } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { link, readdir, readFile, stat, unlink, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ioError, systemCode } from "../core/file-errors";
import { makeDirectory } from "../core/make-directory";

interface Owner {
  readonly pid: number;
  readonly host: string;
  /**
   * Start of the process in the system's clock ticks since boot, where the system gives it (Linux). A later process of the same number has another.
   */
  readonly processStart: string | undefined;
  /** The namespace in which the number counts (Linux). A container on the same machine, and with its host name, has numbers of its own. */
  readonly pidNamespace: string | undefined;
}

/**
 * Interval at which the owner's file is touched. A file of another machine or container that was not touched for much longer is void: its process
 * cannot be asked.
 */
const heartbeatMs = 20_000;
const abandonedMs = 10 * 60_000;

/** A thing that this process holds. */
export interface Lease {
  /**
   * Whether this process still holds the thing. False where the file is gone, because somebody took this process for dead: it slept, or its disk was
   * away.
   */
  held(): Promise<boolean>;
  release(): Promise<void>;
}

/** The process that holds a thing. */
export interface Holder {
  readonly pid: number;
  readonly host: string;
}

/**
 * Leases a thing, without waiting.
 *
 * @param directory - folder of the leases; made where it is missing
 * @param name - name of the thing, a file name
 * @returns the lease, or the process that holds the thing
 * @throws ERR_IO
 */
export async function tryLease(directory: string, name: string): Promise<Lease | Holder> {
  const token = `${name}.${process.pid}-${randomBytes(6).toString("hex")}`;
  const file = join(directory, `${token}.lease`);
  const owner: Owner = { pid: process.pid, host: hostname(), processStart: processStart(process.pid), pidNamespace: pidNamespace() };
  try {
    makeDirectory(directory, 0o777);
    await create(file, join(directory, `${token}.new`), JSON.stringify(owner));
    const other = await livingOther(directory, name, file);
    if (other) {
      await unlink(file);
      return other;
    }
  } catch (error) {
    throw ioError("lease", file, error);
  }
  const heartbeat = setInterval(() => {
    const now = new Date();
    utimes(file, now, now).catch(() => undefined); // gone: held() tells
  }, heartbeatMs);
  heartbeat.unref();
  return {
    held: () =>
      stat(file).then(
        () => true,
        () => false,
      ),
    release: async () => {
      clearInterval(heartbeat);
      await unlink(file).catch(() => undefined);
    },
  };
}

export function isLease(value: Lease | Holder): value is Lease {
  return "release" in value;
}

/** Leases a thing for a moment, waiting for others; two that stepped back for each other come back at different times. */
export async function withLease<T>(directory: string, name: string, work: () => Promise<T>): Promise<T> {
  for (let wait = 2; ; wait = Math.min(2 * wait, 100)) {
    const lease = await tryLease(directory, name);
    if (isLease(lease)) {
      try {
        return await work();
      } finally {
        await lease.release();
      }
    }
    await sleep(1 + Math.random() * wait);
  }
}

/** The file appears with its content in one step: nobody reads one that is half written. */
async function create(file: string, prepared: string, content: string): Promise<void> {
  try {
    await writeFile(prepared, content, { flag: "wx" }); // on a full disk it leaves an empty file
    await link(prepared, file);
  } finally {
    await unlink(prepared).catch((error: unknown) => {
      if (systemCode(error) !== "ENOENT") throw error;
    });
  }
}

async function livingOther(directory: string, name: string, mine: string): Promise<Holder | undefined> {
  for (const entry of await readdir(directory)) {
    const file = join(directory, entry);
    const [, kind] = (entry.startsWith(`${name}.`) && /^\d+-[0-9a-f]{12}\.(lease|new)$/.exec(entry.slice(name.length + 1))) || [];
    if (file === mine || kind === undefined) continue;
    if (kind === "new") {
      // Lasts for a moment, or for ever where its maker was killed in that moment.
      if (!(await touchedWithin(file, abandonedMs))) await unlink(file).catch(() => undefined);
      continue;
    }
    const owner = await ownerOf(file);
    if (owner === undefined) continue;
    if (await lives(owner, file)) return { pid: owner.pid, host: owner.host };
    await unlink(file).catch(() => undefined);
  }
  return undefined;
}

/** The owner of a file that a power cut emptied. */
const unknownOwner: Owner = { pid: 0, host: "", processStart: undefined, pidNamespace: undefined };

async function ownerOf(file: string): Promise<Owner | undefined> {
  try {
    const owner = JSON.parse(await readFile(file, "utf8")) as Owner | null;
    return typeof owner === "object" && owner !== null ? owner : unknownOwner;
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined; // released meanwhile
    if (error instanceof SyntaxError) return unknownOwner;
    throw error;
  }
}

async function lives({ pid, host, processStart: start, pidNamespace: namespace }: Owner, file: string): Promise<boolean> {
  if (host !== hostname() || namespace !== pidNamespace()) return touchedWithin(file, abandonedMs);
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (systemCode(error) === "ESRCH") return false;
  }
  return start === processStart(pid);
}

async function touchedWithin(file: string, ms: number): Promise<boolean> {
  const touched = await stat(file).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
  return Date.now() - touched < ms;
}

/** "pid:[4026531836]"; undefined where the system has none or does not tell. */
function pidNamespace(): string | undefined {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return undefined;
  }
}

/** Field 22 of /proc/PID/stat; the name in field 2 may hold spaces and parentheses, so counting begins after the last of these. */
function processStart(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    return text.slice(text.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}
