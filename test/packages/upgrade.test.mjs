// A project with a lock file takes the next release, and a machine with nothing but that lock file gets the same.

import assert from "node:assert/strict";
import { copyFileSync, existsSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { addon, copyProgram, createProject, installedProject, managers, runtime, serveRelease, succeed } from "./consumer.mjs";

const version = (directory, name) => JSON.parse(readFileSync(path.join(directory, "node_modules", name, "package.json"), "utf8")).version;

test("upgrade from a lock file, and a clean installation from the new one", () => {
  const environment = { LIBTORCH_OOD_HOME: path.join(installedProject().directory, "node_modules", runtime) };
  const directory = createProject("upgrade");
  succeed(directory, [...managers.npm.add, "libtorch-ood@0.1.0"]);
  assert.deepEqual([version(directory, "libtorch-ood"), version(directory, addon)], ["0.1.0", "0.1.0"]);

  serveRelease("0.1.1");
  succeed(directory, [...managers.npm.install]);
  assert.equal(version(directory, "libtorch-ood"), "0.1.0", "a lock file holds the version");
  succeed(directory, [...managers.npm.add, "--prefer-online", "libtorch-ood@0.1.1"]);
  assert.deepEqual([version(directory, "libtorch-ood"), version(directory, addon)], ["0.1.1", "0.1.1"]);

  const clean = createProject("clean");
  for (const file of ["package.json", "package-lock.json"]) copyFileSync(path.join(directory, file), path.join(clean, file));
  succeed(clean, managers.npm.install);
  assert.deepEqual([version(clean, "libtorch-ood"), version(clean, addon)], ["0.1.1", "0.1.1"]);
  // The lock file names every platform's addon: one that was made here serves elsewhere.
  const lock = JSON.parse(readFileSync(path.join(clean, "package-lock.json"), "utf8")).packages;
  assert.ok(lock["node_modules/libtorch-ood"].optionalDependencies["@libtorch-ood/addon-darwin-arm64"]);
  for (const place of [directory, clean]) {
    const { className } = JSON.parse(succeed(place, ["node", copyProgram(place, "verdict.cjs")], environment));
    assert.ok(["dark", "bright"].includes(className));
    assert.ok(!existsSync(path.join(place, "node_modules", "libtorch-ood", "node_modules")));
    rmSync(place, { recursive: true });
  }
});
