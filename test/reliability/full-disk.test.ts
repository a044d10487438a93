// A disk without room: every kind of save fails with ERR_IO and the system's reason, the older file stays whole, and nothing is left beside it.

import { mkdirSync } from "node:fs";
import { temporaryDirectory } from "../support/temporary-directory";
import { figures } from "./campaign";
import { run } from "./child";

const directory = temporaryDirectory();

/** 77: the system does not let this process mount a file system. */
async function savesOn(how: "limit" | "tmpfs", expected: string): Promise<boolean> {
  const folder = directory.path(how);
  mkdirSync(folder);
  const { code, stdout, stderr } = await run("full-disk.cjs", [how, folder]);
  if (how === "tmpfs" && code === 77) return false;
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const found = JSON.parse(stdout) as Record<string, string>;
  figures(`full disk, ${how}`, found);
  const kinds = ["network", "checkpoint", "statistics", "mixture", "detector", "npy"];
  expect(found).toEqual(Object.fromEntries(kinds.map((kind) => [kind, expected])));
  return true;
}

test("a file that grows beyond what the system allows", async () => {
  expect(await savesOn("limit", "ERR_IO EFBIG with the old file whole")).toBe(true);
});

// A real full disk, where the system lets a process have one of its own.
test("a file system of one megabyte that is full", async () => {
  if (!(await savesOn("tmpfs", "ERR_IO ENOSPC with the old file whole")))
    figures("full disk, tmpfs", { skipped: "no mount namespace here" });
});
