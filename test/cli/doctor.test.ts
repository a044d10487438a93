// `libtorch-ood doctor` and `setup` as a user runs them, in a copy of the package whose addon can be missing or of another
// version. They run dist/, which `npm test` compiles first.

import { spawnSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Diagnosis } from "../../lib/native/libtorch/doctor";
import { addonPackage } from "../../lib/native/libtorch/addon-files";
import { packageRoot, packageVersion } from "../../lib/core/package-root";

let copy: string;
beforeAll(() => {
  copy = mkdtempSync(join(tmpdir(), "doctor-"));
  cpSync(join(packageRoot, "dist"), join(copy, "dist"), { recursive: true });
  cpSync(join(packageRoot, "package.json"), join(copy, "package.json"));
  cpSync(join(packageRoot, "scripts", "build-native.mjs"), join(copy, "scripts", "build-native.mjs"));
  mkdirSync(join(copy, "node_modules"));
  for (const name of readdirSync(join(packageRoot, "node_modules"))) {
    symlinkSync(join(packageRoot, "node_modules", name), join(copy, "node_modules", name));
  }
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

test("where the sources are missing too, as in a bundle: what has to be external, and no command that cannot be run", () => {
  renameSync(join(copy, "scripts"), join(copy, "aside"));
  try {
    const { message } = diagnosis(copy).problem!;
    expect(message).toContain("outputFileTracingIncludes");
    expect(message).toContain(`npm install ${addonPackage}@${packageVersion()} `);
    expect(message).not.toMatch(/build-native|latest/);
  } finally {
    renameSync(join(copy, "aside"), join(copy, "scripts"));
  }
});

const onLinux = process.platform === "linux" ? test : test.skip;

onLinux("where the C library is musl, for which there is no addon: that, and no command that cannot help", () => {
  const preload = join(copy, "musl.cjs");
  writeFileSync(
    preload,
    `const report = process.report.getReport.bind(process.report);
    process.report.getReport = () => { const found = report(); delete found.header.glibcVersionRuntime; return found; };`,
  );
  const { message } = diagnosis(copy, { NODE_OPTIONS: `--require ${preload}` }).problem!;
  expect(message).toMatch(/^no native addon.*Alpine has musl.*node:22-slim/);
  expect(message).not.toMatch(/npm install|build-native/);
});

test("where the addon's package is of another version than the library: both versions", () => {
  const place = join(copy, "node_modules", addonPackage);
  cpSync(join(packageRoot, "build", "Release"), place, { recursive: true });
  try {
    writeFileSync(join(place, "package.json"), JSON.stringify({ name: addonPackage, version: packageVersion() }));
    expect(diagnosis(copy).ok).toBe(true);
    writeFileSync(join(place, "package.json"), JSON.stringify({ name: addonPackage, version: "0.0.9" }));
    const found = diagnosis(copy);
    expect(found).toMatchObject({ ok: false, problem: { code: "ERR_IO" } });
    expect(found.problem!.message).toContain(`${place} is of version "0.0.9", and this is libtorch-ood ${packageVersion()}`);
  } finally {
    rmSync(join(copy, "node_modules", "@libtorch-ood"), { recursive: true });
  }
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

onLinux.each(["libtorch_ood.node", "loader.node"])("%s that was cut short: its length, and no death by a signal", (name) => {
  const release = join(copy, "build", "Release");
  const { size } = statSync(join(packageRoot, "build", "Release", name));
  for (const length of [size - 1, size >> 1, 1000, 40]) {
    cpSync(join(packageRoot, "build", "Release"), release, { recursive: true });
    truncateSync(join(release, name), length);
    const { status, problem } = diagnosis(copy);
    expect(status).toBe(1);
    expect(problem!.message).toMatch(new RegExp(`${name} does not load: .*cut short: expected at least \\d+ bytes, found ${length}`));
  }
});

onLinux("libtorch that was cut short: the same", () => {
  cpSync(join(packageRoot, "build", "Release"), join(copy, "build", "Release"), { recursive: true });
  const torch = diagnosis(packageRoot).torch!;
  const lib = join(copy, "torch", "lib");
  mkdirSync(lib, { recursive: true });
  for (const name of readdirSync(join(torch.directory, "lib"))) symlinkSync(join(torch.directory, "lib", name), join(lib, name));
  writeFileSync(join(copy, "torch", "build-version"), torch.version);
  rmSync(join(lib, "libc10.so"));
  cpSync(join(torch.directory, "lib", "libc10.so"), join(lib, "libc10.so"));
  truncateSync(join(lib, "libc10.so"), 200_000);
  const { status, problem } = diagnosis(copy, { LIBTORCH_OOD_HOME: join(copy, "torch") });
  expect(status).toBe(1);
  expect(problem!.message).toMatch(/libc10\.so does not load: .*cut short: expected at least \d+ bytes, found 200000/);
});

test.each(["../../etc", "2.13.0; rm -rf .", "2.13.0\n\u001b[31m", 2, null, "2.13"])(
  "build.json that names no version (%j): said, and in no command",
  (libtorch) => {
    const release = join(copy, "build", "Release");
    cpSync(join(packageRoot, "build", "Release"), release, { recursive: true });
    writeFileSync(join(release, "build.json"), JSON.stringify({ libtorch, cuda: null, napi: 9 }));
    const { status, problem } = diagnosis(copy);
    expect([status, problem!.code]).toEqual([1, "ERR_IO"]);
    expect(problem!.message).toContain(`does not say which libtorch the addon was built for: found ${JSON.stringify(libtorch)}`);
    expect(problem!.message).not.toContain("setup --version");
  },
);

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

test("a Node that loads no addons: what allows it", () => {
  const refused = cli(packageRoot, ["doctor"], { NODE_OPTIONS: "--no-addons" });
  expect([refused.status, refused.stdout]).toEqual([
    1,
    expect.stringContaining("run it without --no-addons, and where it has --permission"),
  ]);
  expect(refused.stdout).not.toContain("build-native");
  expect(refused.stdout).not.toMatch(/\.\. This Node/); // Node's own message may end with a full stop
});

// Later versions of Node reserve more than that for themselves.
const nodeRuns = spawnSync("sh", ["-c", `ulimit -v 1200000; '${process.execPath}' -e 0`]).status === 0;

(nodeRuns ? onLinux : test.skip)("less address space than libtorch takes: that memory is lacking, not libtorch", () => {
  const doctor = `'${process.execPath}' '${join(packageRoot, "dist", "cli", "main.js")}' doctor`;
  const { status, stdout } = spawnSync("sh", ["-c", `ulimit -v 1200000; ${doctor}`], { encoding: "utf8" });
  expect([status, stdout]).toEqual([1, expect.stringMatching(/ERR_OUT_OF_MEMORY: .*address space.*found a limit of 1172 MiB.*ulimit -v/)]);
  expect(stdout).not.toContain("setup --force");
});

test("setup with a version that is not supported: one line and exit code 1", () => {
  const { status, stderr } = cli(packageRoot, ["setup", "--version", "1.13.1"]);
  expect(status).toBe(1);
  expect(stderr.trim()).toMatch(/^ERR_OPTION: version: expected a version of 2\.11, .*, found "1\.13\.1"$/);
});
