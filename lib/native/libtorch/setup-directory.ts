// The working directory of one run of `setup`, beside the entries of the cache: `.setup-<group>-<pid>-<random>`. A directory that a killed run left
// behind is recognised by its process where that can be seen, else by its age, because a living run touches its own.

import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readlinkSync, rmSync, statSync, utimesSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";

const touchEvery = 30_000;
/**
 * A directory whose process cannot be seen is abandoned when it was not touched for an hour. One whose process is seen alive gets a day, because a
 * laptop may have slept.
 */
const [hour, day] = [3_600_000, 24 * 3_600_000];

export interface SetupDirectory {
  readonly path: string;
  readonly remove: () => void;
}

/** Makes a directory that its user alone can write: nobody else may add to what will be loaded. */
export function setupDirectory(cache: string): SetupDirectory {
  const path = join(cache, `.setup-${processSpace()}-${process.pid}-${randomBytes(6).toString("hex")}`);
  mkdirSync(path, { mode: 0o700 });
  const touch = setInterval(() => {
    try {
      utimesSync(path, new Date(), new Date());
    } catch {
      // It is gone, which the run itself will find.
    }
  }, touchEvery);
  touch.unref();
  return {
    path,
    remove: () => {
      clearInterval(touch);
      rmSync(path, { recursive: true, force: true });
    },
  };
}

/** Removes the directories of killed runs. */
export function removeAbandoned(cache: string): void {
  let names: string[];
  try {
    names = readdirSync(cache).filter((name) => name.startsWith(".setup-"));
  } catch {
    return; // no cache yet, or none of ours
  }
  for (const name of names) if (isAbandoned(cache, name)) remove(join(cache, name));
}

function isAbandoned(cache: string, name: string): boolean {
  const touched = statSync(join(cache, name), { throwIfNoEntry: false })?.mtimeMs;
  if (touched === undefined) return false;
  const age = Date.now() - touched;
  const [, space, pid] = /^\.setup-([0-9a-f]+)-(\d+)-/.exec(name) ?? [];
  if (space !== processSpace()) return age > hour;
  return age > day || !isAlive(Number(pid));
}

function remove(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch {
    // Another user's; setup goes on beside it.
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

/** Where process numbers mean the same: one host, and on Linux one PID namespace of it. */
function processSpace(): string {
  let namespace = "";
  try {
    namespace = readlinkSync("/proc/self/ns/pid");
  } catch {
    // Not Linux.
  }
  return createHash("sha256").update(`${hostname()} ${namespace}`).digest("hex").slice(0, 8);
}
