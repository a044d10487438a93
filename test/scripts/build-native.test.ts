// scripts/build-native.mjs where something is missing: each is named, with the command to install it.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packageRoot } from "../../lib/core/package-root";

let directory: string;
beforeEach(() => void (directory = mkdtempSync(join(tmpdir(), "build-native-"))));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function build(environment: NodeJS.ProcessEnv) {
  const program = join(packageRoot, "scripts", "build-native.mjs");
  return spawnSync(process.execPath, [program], { encoding: "utf8", env: { ...process.env, ...environment } });
}

/** A PATH on which there are these tools and no others. */
function pathWith(...tools: string[]): string {
  for (const tool of tools) {
    const found = spawnSync("sh", ["-c", `command -v ${tool}`], { encoding: "utf8" }).stdout.trim();
    symlinkSync(found, join(directory, tool));
  }
  return directory;
}

test("no cmake: the error names the command that installs it", () => {
  const { status, stderr } = build({ PATH: pathWith("sh") });
  expect(status).toBe(1);
  expect(stderr).toMatch(/^build-native: CMake 3\.18 or newer is needed, and `cmake` is not on the PATH\. Install it:\n {2}\S.* install/);
  expect(stderr).not.toContain("    at ");
});

test("no compiler: the error names the command that installs it", () => {
  const { status, stderr } = build({ PATH: pathWith("sh", "cmake"), CXX: "" });
  expect(status).toBe(1);
  expect(stderr).toMatch(/^build-native: a C\+\+20 compiler .* is needed[^]*Install it:\n {2}\S/);
});

test("no ninja and no make: the error names the command that installs one", () => {
  const { status, stderr } = build({ PATH: pathWith("sh", "cmake", "c++"), CXX: "" });
  expect(status).toBe(1);
  expect(stderr).toMatch(/^build-native: ninja or make is needed[^]*Install it:\n {2}\S/);
});

test("no libtorch: the error lists the places tried and names setup", () => {
  const empty = { LIBTORCH_OOD_CACHE: directory, LIBTORCH_OOD_HOME: "", LIBTORCH: "", VIRTUAL_ENV: "", CONDA_PREFIX: "" };
  const { status, stderr } = build({ ...empty, LIBTORCH_USE_PYTORCH: "" });
  expect(status).toBe(1);
  expect(stderr).toMatch(/^build-native: no libtorch to build against\. Tried, in order:\n {2}LIBTORCH_OOD_HOME/);
  expect(stderr).toContain(`nothing in ${directory}`);
  expect(stderr).toMatch(/Fetch one: npx libtorch-ood setup\n$/);
});
