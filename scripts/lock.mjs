// A lock between processes for set-up and build: a file that names its owner; one whose owner has died is taken over.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const longestHold = 2 * 60 * 60 * 1000;

/** Runs `work` while holding the lock `file`; waits for another holder, saying so once through `onWait(holder)`. */
export async function withLock(file, work, onWait = () => {}) {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const mine = JSON.stringify({ pid: process.pid, host: os.hostname(), since: Date.now() });
  for (let waited = false; !acquire(file, mine); waited = true) {
    const theirs = read(file);
    if (theirs === undefined) continue;
    if (isDead(theirs)) {
      takeAway(file, theirs);
      continue;
    }
    if (!waited) onWait(holder(theirs));
    await sleep(200);
  }
  const release = () => {
    if (read(file) === mine) fs.rmSync(file, { force: true });
  };
  process.once("exit", release);
  try {
    return await work();
  } finally {
    release();
    process.removeListener("exit", release);
  }
}

// The file appears with its content in one step, so that nobody reads a lock that is half written.
function acquire(file, content) {
  const prepared = `${file}.${process.pid}`;
  fs.writeFileSync(prepared, content);
  try {
    fs.linkSync(prepared, file);
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  } finally {
    fs.rmSync(prepared, { force: true });
  }
}

function read(file) {
  try {
    return fs.readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

function parse(content) {
  try {
    return JSON.parse(content);
  } catch {
    return {};
  }
}

function holder(content) {
  return `process ${parse(content).pid}`;
}

function isDead(content) {
  const { pid, host, since } = parse(content);
  if (!Number.isInteger(pid) || !(Date.now() - since < longestHold)) return true;
  if (host !== os.hostname()) return false;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error.code === "ESRCH";
  }
}

// Two waiters may both see a dead owner. A rename gives the file to one of them; the other may so get hold of the new
// owner's lock, notices by its content, and puts it back.
function takeAway(file, content) {
  const aside = `${file}.stale.${process.pid}`;
  try {
    fs.renameSync(file, aside);
  } catch {
    return;
  }
  if (read(aside) !== content) {
    try {
      fs.linkSync(aside, file);
    } catch {
      // A third process has made a lock meanwhile; the one put aside is void and its owner releases nothing.
    }
  }
  fs.rmSync(aside, { force: true });
}
