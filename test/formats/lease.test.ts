// Leases: one holder at a time, dead owners are void, living ones are not.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readlinkSync, utimesSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isLease, tryLease, withLease, type Lease } from "../../lib/formats/lease";
import { packageRoot } from "../../lib/core/package-root";
import { temporaryDirectory } from "../support/temporary-directory";

const folder = temporaryDirectory();
const lease = async (directory: string): Promise<Lease> => {
  const found = await tryLease(directory, "thing");
  if (!isLease(found)) throw new Error("held by another");
  return found;
};
/** As {@link tryLease} has it; undefined where the system has none. */
const pidNamespace = process.platform === "linux" ? readlinkSync("/proc/self/ns/pid") : undefined;
const ownedBy = (directory: string, owner: object, hex = "0123456789ab"): string => {
  const file = join(directory, `thing.1-${hex}.lease`);
  writeFileSync(file, JSON.stringify(owner));
  return file;
};

it("one holder at a time; what was released can be had again, and nothing is left", async () => {
  const directory = folder.path("one");
  const first = await lease(directory);
  expect(await tryLease(directory, "thing")).toEqual({ pid: process.pid, host: hostname() });
  expect(isLease(await tryLease(directory, "thing.2"))).toBe(true);
  expect(await first.held()).toBe(true);
  await first.release();
  expect(await first.held()).toBe(false);
  await (await lease(directory)).release();
  expect(readdirSync(directory).filter((name) => name.startsWith("thing.1"))).toEqual([]);
});

it("an owner that is gone is void, also where its number belongs to a later process", async () => {
  const directory = folder.path("dead");
  await (await lease(directory)).release();
  ownedBy(directory, { pid: 2 ** 22 + 1, host: hostname(), processStart: "1", pidNamespace }); // above Linux's largest process number
  if (process.platform === "linux")
    ownedBy(directory, { pid: process.pid, host: hostname(), processStart: "1", pidNamespace }, "ba9876543210");
  await (await lease(directory)).release();
  expect(readdirSync(directory)).toEqual([]);
});

it.each([
  ["on another machine", "elsewhere", pidNamespace],
  ["in another container of this machine", hostname(), "pid:[1]"],
])("an owner %s lives as long as it says so", async (_, host, namespace) => {
  const directory = folder.path(host === "elsewhere" ? host : "container");
  await (await lease(directory)).release();
  const file = ownedBy(directory, { pid: 2 ** 22 + 1, host, processStart: "1", pidNamespace: namespace });
  expect(await tryLease(directory, "thing")).toEqual({ pid: 2 ** 22 + 1, host });
  const longAgo = new Date(Date.now() - 11 * 60_000);
  utimesSync(file, longAgo, longAgo);
  await (await lease(directory)).release();
  expect(readdirSync(directory)).toEqual([]);
});

const unshares = process.platform === "linux" && spawnSync("unshare", ["--pid", "--fork", "true"]).status === 0;
(unshares ? it : it.skip)("a living process of another PID namespace is not taken for dead", async () => {
  const directory = folder.path("namespaces");
  const compiled = JSON.stringify(join(packageRoot, "dist/formats/lease.js"));
  const script = `require(${compiled}).tryLease(${JSON.stringify(directory)}, "thing").then(() => console.log("mine")); process.stdin.resume()`;
  const holder = spawn("unshare", ["--pid", "--fork", "--kill-child", process.execPath, "-e", script], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  try {
    await once(holder.stdout, "data");
    expect(await tryLease(directory, "thing")).toMatchObject({ host: hostname() });
  } finally {
    holder.kill("SIGKILL");
  }
});

it("a lease that holds no owner is void", async () => {
  const directory = folder.path("nobody");
  await (await lease(directory)).release();
  for (const [i, content] of ["", "null", "7", "{"].entries())
    writeFileSync(join(directory, `thing.1-${"0".repeat(11)}${i}.lease`), content);
  for (const name of readdirSync(directory)) utimesSync(join(directory, name), 0, 0);
  await (await lease(directory)).release();
  expect(readdirSync(directory)).toEqual([]);
});

it("many that want it at once get it one after the other", async () => {
  const directory = folder.path("many");
  let inside = 0;
  let turns = 0;
  const work = async (): Promise<void> => {
    expect(++inside).toBe(1);
    await sleep(1);
    inside--;
    turns++;
  };
  await Promise.all(Array.from({ length: 12 }, () => withLease(directory, "thing", work)));
  expect(turns).toBe(12);
});
