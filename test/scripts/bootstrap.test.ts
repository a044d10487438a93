// scripts/bootstrap.mjs in a small package whose steps are played by scripts that write down that they ran.

import { spawn, spawnSync } from "node:child_process";
import { appendFileSync, chmodSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { packageRoot } from "../../lib/core/package-root";
import { fakeTorch, write } from "../native/libtorch/fake-torch";

let directory: string;
const at = (...parts: string[]) => join(directory, ...parts);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "bootstrap-"));
  for (const name of ["bootstrap.mjs", "lock.mjs", "score-index.mjs"]) cpSync(join(packageRoot, "scripts", name), at("scripts", name));
  for (const name of ["lib/index.ts", "native/binding/addon.cc", "tsconfig.json", "package-lock.json", "CMakeLists.txt"])
    write(at(name), "1");
  write(at("package.json"), "{}");
  fakeTorch(at("prepared", "torch"));
  write(at("bin", "npm"), `#!/bin/sh\necho "npm $1" >> '${at("log")}'\nmkdir -p node_modules\ntouch node_modules/.package-lock.json\n`);
  chmodSync(at("bin", "npm"), 0o755);
  const played = (name: string, work: string) => `
    import fs from "node:fs";
    fs.appendFileSync(${JSON.stringify(at("log"))}, ${JSON.stringify(name + "\n")});
    if (process.env.FAILS === ${JSON.stringify(name)}) process.exit(1);
    ${work}`;
  const compile = `fs.cpSync(${JSON.stringify(join(packageRoot, "dist"))}, ${JSON.stringify(at("dist"))}, { recursive: true });
    fs.writeFileSync(${JSON.stringify(at("dist", "cli", "main.js"))}, ${JSON.stringify(setupProgram())});`;
  write(at("scripts", "build-ts.mjs"), played("typescript", compile));
  const release = JSON.stringify(at("build", "Release"));
  const build = `fs.mkdirSync(${release}, { recursive: true });
    for (const name of ["loader.node", "libtorch_ood.node", "build.json"]) fs.writeFileSync(${release} + "/" + name, "");`;
  write(at("scripts", "build-native.mjs"), played("native", build));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** Stands for `libtorch-ood setup`. */
function setupProgram(): string {
  return `const fs = require("node:fs");
    fs.appendFileSync(${JSON.stringify(at("log"))}, "setup\\n");
    fs.cpSync(${JSON.stringify(at("prepared"))}, ${JSON.stringify(at("cache", "2.13.0"))}, { recursive: true });`;
}

function environment(extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  return { PATH: [at("bin"), process.env.PATH].join(delimiter), LIBTORCH_OOD_CACHE: at("cache"), ...extra };
}

/** Runs it and returns the steps that ran. */
function bootstrap(extra: NodeJS.ProcessEnv = {}): { steps: string[]; status: number | null; stdout: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [at("scripts", "bootstrap.mjs")], {
    encoding: "utf8",
    env: environment(extra),
  });
  expect(stderr).toBe("");
  return { steps: takeLog(), status, stdout };
}

function takeLog(): string[] {
  if (!existsSync(at("log"))) return [];
  const lines = readFileSync(at("log"), "utf8").trim().split("\n");
  rmSync(at("log"));
  return lines;
}

test("a fresh clone: every step in order with its time; a second start: none, and no output", () => {
  const first = bootstrap();
  expect(first.steps).toEqual(["npm ci", "typescript", "setup", "native"]);
  expect(first.status).toBe(0);
  expect(first.stdout.match(/: \d+\.\d s$/gm)).toHaveLength(4);
  expect(bootstrap()).toEqual({ steps: [], status: 0, stdout: "" });
});

test("each step runs again when what it depends on has changed, and only then", () => {
  bootstrap();
  appendFileSync(at("lib", "index.ts"), "2");
  expect(bootstrap().steps).toEqual(["typescript"]);
  write(at("lib", "more", "new.ts"), "");
  expect(bootstrap().steps).toEqual(["typescript"]);
  appendFileSync(at("native", "addon.cc"), "2");
  expect(bootstrap().steps).toEqual(["native"]);
  rmSync(at("build", "Release", "loader.node"));
  expect(bootstrap().steps).toEqual(["native"]);
  rmSync(at("cache"), { recursive: true });
  expect(bootstrap().steps).toEqual(["setup"]);
  rmSync(at("dist"), { recursive: true });
  expect(bootstrap().steps).toEqual(["typescript"]);
  expect(bootstrap({ LIBTORCH: at("prepared") }).steps).toEqual(["native"]);
  expect(bootstrap().steps).toEqual(["native"]);
  utimesSync(at("lib", "index.ts"), new Date(), new Date());
  expect(bootstrap().steps).toEqual([]);
  appendFileSync(at("package-lock.json"), "2");
  utimesSync(at("package-lock.json"), new Date(), new Date(Date.now() + 5000));
  expect(bootstrap().steps).toEqual(["npm ci", "typescript", "native"]);
});

test("a step that fails ends it with code 1, and runs again the next time", () => {
  expect(bootstrap({ FAILS: "typescript" })).toMatchObject({ steps: ["npm ci", "typescript"], status: 1 });
  expect(bootstrap({ FAILS: "native" })).toMatchObject({ steps: ["typescript", "setup", "native"], status: 1 });
  expect(bootstrap()).toMatchObject({ steps: ["native"], status: 0 });
  expect(existsSync(at("build", "bootstrap.lock"))).toBe(false);
});

test("two at once: each step runs once, and both succeed", async () => {
  const start = () =>
    new Promise((done) => spawn(process.execPath, [at("scripts", "bootstrap.mjs")], { env: environment() }).once("close", done));
  expect(await Promise.all([start(), start(), start()])).toEqual([0, 0, 0]);
  expect(takeLog()).toEqual(["npm ci", "typescript", "setup", "native"]);
});
