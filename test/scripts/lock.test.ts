// scripts/lock.mjs: several processes that want one lock, and locks whose owners are gone.

import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { packageRoot } from "../../lib/core/package-root";

let directory: string;
beforeEach(() => void (directory = mkdtempSync(join(tmpdir(), "lock-"))));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const lockModule = JSON.stringify(pathToFileURL(join(packageRoot, "scripts", "lock.mjs")).href);

/** A process that takes the lock and writes when it has it and when it gives it back. */
function program(work: string): string[] {
  const [lock, log] = ["the.lock", "log"].map((name) => JSON.stringify(join(directory, name)));
  const code = `
    import { withLock } from ${lockModule};
    import { appendFileSync } from "node:fs";
    import { setTimeout as sleep } from "node:timers/promises";
    const write = (text) => appendFileSync(${log}, text + " " + process.pid + "\\n");
    await withLock(${lock}, async () => { write("begin"); ${work}; write("end"); }, (holder) => console.log("waits for " + holder));`;
  return ["--input-type=module", "-e", code];
}

const log = () => readFileSync(join(directory, "log"), "utf8").trim().split("\n");

/** A process id that nobody has: that of a process that has ended. */
function deadPid(): number {
  return spawnSync(process.execPath, ["-e", ""]).pid;
}

test("the lock is held by one process at a time, and nothing is left of it", async () => {
  writeFileSync(join(directory, "the.lock"), JSON.stringify({ pid: deadPid(), host: hostname(), since: Date.now() }));
  const codes = await Promise.all(
    Array.from({ length: 5 }, () => new Promise((done) => spawn(process.execPath, program("await sleep(50)")).once("close", done))),
  );
  expect(codes).toEqual([0, 0, 0, 0, 0]);
  const lines = log();
  expect(lines).toHaveLength(10);
  for (let i = 0; i < lines.length; i += 2) expect(lines[i + 1]).toBe(lines[i]!.replace("begin", "end"));
  expect(readdirSync(directory)).toEqual(["log"]);
});

test("a lock whose owner was killed is taken over", () => {
  const killed = spawnSync(process.execPath, program("process.kill(process.pid, 'SIGKILL'); await sleep(1000)"));
  expect(killed.signal).toBe("SIGKILL");
  expect(existsSync(join(directory, "the.lock"))).toBe(true);
  const next = spawnSync(process.execPath, program(""), { encoding: "utf8" });
  expect([next.status, next.stdout]).toEqual([0, ""]);
  expect(log()).toHaveLength(3);
});

test.each(["", "{", "{}", '{"pid":"1"}'])("a lock with the content %j is nobody's", (content) => {
  writeFileSync(join(directory, "the.lock"), content);
  expect(spawnSync(process.execPath, program("")).status).toBe(0);
  expect(log()).toHaveLength(2);
});

test("a lock of a process that lives is waited for, which is said once", async () => {
  const lock = join(directory, "the.lock");
  writeFileSync(lock, JSON.stringify({ pid: process.pid, host: hostname(), since: Date.now() }));
  const waiting = spawn(process.execPath, program(""));
  const said = new Promise<string>((done) => waiting.stdout.setEncoding("utf8").once("data", done));
  expect(await said).toBe(`waits for process ${process.pid}\n`);
  expect(existsSync(join(directory, "log"))).toBe(false);
  const ended = new Promise((done) => waiting.once("close", done));
  rmSync(lock);
  expect(await ended).toBe(0);
});

test("an error or an exit in the work gives the lock back", () => {
  for (const work of ["throw new Error('x')", "process.exit(3)"]) {
    expect(spawnSync(process.execPath, program(work)).status).not.toBe(0);
    expect(existsSync(join(directory, "the.lock"))).toBe(false);
  }
});
