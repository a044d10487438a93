// Claims: one holder at a time, dead owners are void, living ones are not.

import { readdirSync, utimesSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isClaim, tryClaim, withClaim, type Claim } from "../../lib/experiment/claims";
import { temporaryDirectory } from "../files/temporary-directory";

const folder = temporaryDirectory();
const claim = async (directory: string): Promise<Claim> => {
  const found = await tryClaim(directory, "thing");
  if (!isClaim(found)) throw new Error("held by another");
  return found;
};
const ownedBy = (directory: string, owner: object, hex = "0123456789ab"): string => {
  const file = join(directory, `thing.1-${hex}.claim`);
  writeFileSync(file, JSON.stringify(owner));
  return file;
};

it("one holder at a time; what was released can be had again, and nothing is left", async () => {
  const directory = folder.path("one");
  const first = await claim(directory);
  expect(await tryClaim(directory, "thing")).toEqual({ pid: process.pid, host: hostname() });
  expect(isClaim(await tryClaim(directory, "thing.2"))).toBe(true);
  expect(await first.held()).toBe(true);
  await first.release();
  expect(await first.held()).toBe(false);
  await (await claim(directory)).release();
  expect(readdirSync(directory).filter((name) => name.startsWith("thing.1"))).toEqual([]);
});

it("an owner that is gone is void, also where its number belongs to a later process", async () => {
  const directory = folder.path("dead");
  await (await claim(directory)).release();
  ownedBy(directory, { pid: 2 ** 22 + 1, host: hostname(), processStart: "1" }); // above Linux's largest process number
  if (process.platform === "linux") ownedBy(directory, { pid: process.pid, host: hostname(), processStart: "1" }, "ba9876543210");
  await (await claim(directory)).release();
  expect(readdirSync(directory)).toEqual([]);
});

it("an owner on another machine lives as long as it says so", async () => {
  const directory = folder.path("elsewhere");
  await (await claim(directory)).release();
  const file = ownedBy(directory, { pid: 1, host: "elsewhere", processStart: "1" });
  expect(await tryClaim(directory, "thing")).toEqual({ pid: 1, host: "elsewhere" });
  const longAgo = new Date(Date.now() - 11 * 60_000);
  utimesSync(file, longAgo, longAgo);
  await (await claim(directory)).release();
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
  await Promise.all(Array.from({ length: 12 }, () => withClaim(directory, "thing", work)));
  expect(turns).toBe(12);
});
