// `libtorch-ood doctor` and `setup` as a user runs them, in a copy of the package whose addon can be missing or of another
// version. They run dist/, which `npm test` compiles first.

import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Diagnosis } from "../../lib/libtorch/doctor";
import { packageRoot } from "../../lib/package-root";

let copy: string;
beforeAll(() => {
  copy = mkdtempSync(join(tmpdir(), "doctor-"));
  cpSync(join(packageRoot, "dist"), join(copy, "dist"), { recursive: true });
  cpSync(join(packageRoot, "package.json"), join(copy, "package.json"));
  symlinkSync(join(packageRoot, "node_modules"), join(copy, "node_modules"));
});
afterAll(() => rmSync(copy, { recursive: true, force: true }));

function cli(root: string, args: string[], environment: NodeJS.ProcessEnv = {}) {
  return spawnSync(process.execPath, [join(root, "dist", "cli", "main.js"), ...args], {
    encoding: "utf8",
    env: { ...process.env, ...environment },
  });
}

function diagnosis(root: string, environment: NodeJS.ProcessEnv = {}): Diagnosis & { status: number | null } {
  const { stdout, status } = cli(root, ["doctor", "--json"], environment);
  return { ...(JSON.parse(stdout) as Diagnosis), status };
}

test("where it works: exit code 0, the libtorch, the CPU, and where it was found", () => {
  const { status, stdout } = cli(packageRoot, ["doctor"]);
  expect(status).toBe(0);
  expect(stdout).toMatch(/^It works\.$/m);
  expect(stdout).toMatch(/^platform +\w+-\w+/m);
  expect(stdout).toMatch(/^libtorch +2\.\d+\.\d+\S* in /m);
  expect(stdout).toMatch(/^CPU +.+, threads: \d+$/m);
  const json = diagnosis(packageRoot);
  expect(json).toMatchObject({ ok: true, status: 0, platform: `${process.platform}-${process.arch}`, node: process.version });
  expect(json.attempts.at(-1)).not.toHaveProperty("problem");
});

test("where the addon is missing: exit code 1 and how to build it", () => {
  rmSync(join(copy, "build"), { recursive: true, force: true });
  const found = diagnosis(copy);
  expect(found).toMatchObject({ ok: false, status: 1, problem: { code: "ERR_IO" } });
  expect(found.problem!.message).toContain(`no native addon for ${process.platform}-${process.arch}`);
  expect(found.problem!.message).toMatch(/npm install @libtorch-ood\/addon-\w+-\w+@\d/);
  expect(found.problem!.message).toContain(`node ${join(copy, "scripts", "build-native.mjs")}`);
});

test("where a file of the addon is missing: which", () => {
  const release = join(copy, "build", "Release");
  cpSync(join(packageRoot, "build", "Release", "loader.node"), join(release, "loader.node"), { recursive: true });
  expect(diagnosis(copy).problem!.message).toContain("libtorch_ood.node is missing");
  cpSync(join(packageRoot, "build", "Release", "libtorch_ood.node"), join(release, "libtorch_ood.node"));
  expect(diagnosis(copy).problem!.message).toContain("build.json is missing");
  writeFileSync(join(release, "build.json"), "{}");
  expect(diagnosis(copy).problem!.message).toContain("does not say which libtorch");
});

test("an addon that does not load: the linker's reason, and how to build it anew", () => {
  const release = join(copy, "build", "Release");
  cpSync(join(packageRoot, "build", "Release"), release, { recursive: true });
  writeFileSync(join(release, "libtorch_ood.node"), "no shared library");
  const found = diagnosis(copy);
  expect(found).toMatchObject({ ok: false, status: 1, problem: { code: "ERR_LIBTORCH_NOT_FOUND" } });
  expect(found.problem!.message).toMatch(/libtorch_ood\.node does not load: .*libtorch_ood\.node/);
  expect(found.problem!.message).toContain(`node ${join(copy, "scripts", "build-native.mjs")}`);
});

test("an addon built for another minor than the libtorch there is: refused, with both versions", () => {
  const release = join(copy, "build", "Release");
  mkdirSync(release, { recursive: true });
  cpSync(join(packageRoot, "build", "Release"), release, { recursive: true });
  writeFileSync(join(release, "build.json"), JSON.stringify({ libtorch: "2.12.0", cuda: null, napi: 9 }));
  const found = diagnosis(copy);
  expect(found).toMatchObject({ ok: false, status: 1, problem: { code: "ERR_LIBTORCH_VERSION" } });
  expect(found.problem!.message).toMatch(/built for libtorch 2\.12\.0[^]*it is version 2\.\d+\.\d+\S*; 2\.12 is needed/);
  expect(found.problem!.message).toContain("npx libtorch-ood setup --version 2.12.0");
});

test("setup with a version that is not supported: one line and exit code 1", () => {
  const { status, stderr } = cli(packageRoot, ["setup", "--version", "1.13.1"]);
  expect(status).toBe(1);
  expect(stderr.trim()).toMatch(/^ERR_OPTION: version: expected a version of 2\.11, .*, found "1\.13\.1"$/);
});
