// Nothing that lies in the current directory is run or taken for libtorch, whatever the environment leaves empty or relative. Processes of
// their own, in a directory that somebody else has filled; they run dist/, which `npm test` compiles first.

import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, readdirSync } from "node:fs";
import { userInfo } from "node:os";
import { delimiter, join } from "node:path";
import { addonPackage } from "../../../lib/native/libtorch/addon-files";
import { runtimePackage, type Discovery } from "../../../lib/native/libtorch/discover";
import { packageRoot, packageVersion } from "../../../lib/core/package-root";
import { temporaryDirectory } from "../../support/temporary-directory";
import { fakeTorch, write } from "./fake-torch";

const directory = temporaryDirectory();
const hostile = directory.path("hostile");
const home = directory.path("home");
const ran = directory.path("ran");
const onPosix = process.platform === "win32" ? test.skip : test;

/** What the programs there say when they are run; Python's own modules that pip and find_spec import among them. */
beforeAll(() => {
  const mark = `open(${JSON.stringify(ran)}, "a").write(__name__ + "\\n")\n`;
  for (const name of ["pip", "sitecustomize", "usercustomize", "importlib", "runpy", "encodings"]) write(join(hostile, `${name}.py`), mark);
  write(join(hostile, "torch", "__init__.py"), mark);
  for (const place of ["torch", "lib/python3.12/site-packages/torch", ".cache/libtorch-ood/2.13.0/torch", "libtorch-ood/2.13.0/torch"]) {
    fakeTorch(join(hostile, place));
  }
  for (const modules of ["node_modules", ".node_modules"]) {
    for (const name of [runtimePackage, addonPackage]) {
      fakeTorch(join(hostile, modules, name));
      write(join(hostile, modules, name, "package.json"), JSON.stringify({ name, version: packageVersion() }));
      write(join(hostile, modules, name, "build.json"), JSON.stringify({ libtorch: "2.13.0", cuda: null, napi: 8 }));
      for (const file of ["loader.node", "libtorch_ood.node"]) write(join(hostile, modules, name, file), "");
    }
  }
  fakeTorch(join(hostile, "Library", "Caches", "libtorch-ood", "2.13.0", "torch"));
  for (const name of ["python3", "python", "py"]) {
    write(join(hostile, name), `#!/bin/sh\necho ${name} >> '${ran}'\necho '${join(hostile, "torch")}'\n`);
    chmodSync(join(hostile, name), 0o755);
  }
  write(join(home, "file"), "");
});

/** Runs a program there; what it prints as JSON. */
function inHostile<T>(program: string, environment: NodeJS.ProcessEnv): T {
  const nowhere = { LIBTORCH: "", LIBTORCH_OOD_HOME: "", VIRTUAL_ENV: "", CONDA_PREFIX: "", XDG_CACHE_HOME: "", LIBTORCH_OOD_CACHE: "" };
  const { stdout, stderr, status } = spawnSync(process.execPath, ["-e", program], {
    cwd: hostile,
    encoding: "utf8",
    env: { ...process.env, ...nowhere, HOME: home, ...environment },
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as T;
}

const compiled = (name: string): string => JSON.stringify(join(packageRoot, "dist", "native", "libtorch", `${name}.js`));
const path = process.env.PATH ?? "";

onPosix.each<[string, NodeJS.ProcessEnv]>([
  ["Python's own search", { LIBTORCH_USE_PYTORCH: "1" }],
  ["PYTHONPATH with an empty entry", { LIBTORCH_USE_PYTORCH: "1", PYTHONPATH: `${delimiter}/nowhere` }],
  ["PYTHONPATH with a relative entry", { LIBTORCH_USE_PYTORCH: "1", PYTHONPATH: "." }],
  ["PATH with an empty entry", { LIBTORCH_USE_PYTORCH: "1", PATH: `${delimiter}${path}` }],
  ["PATH with a relative entry", { LIBTORCH_USE_PYTORCH: "1", PATH: `.${delimiter}${path}` }],
  ["an empty PATH", { LIBTORCH_USE_PYTORCH: "1", PATH: "" }],
  ["an empty HOME", { HOME: "" }],
  ["a relative HOME", { HOME: "." }],
  ["a relative XDG_CACHE_HOME", { XDG_CACHE_HOME: ".cache" }],
  ["XDG_CACHE_HOME=.", { XDG_CACHE_HOME: "." }],
  ["a relative LIBTORCH_OOD_CACHE", { LIBTORCH_OOD_CACHE: ".cache/libtorch-ood" }],
  ["a relative LIBTORCH", { LIBTORCH: "torch" }],
  ["LIBTORCH=.", { LIBTORCH: "." }],
  ["a relative LIBTORCH_OOD_HOME", { LIBTORCH_OOD_HOME: "./torch" }],
  ["a relative VIRTUAL_ENV", { VIRTUAL_ENV: "." }],
  ["a relative CONDA_PREFIX", { CONDA_PREFIX: "./" }],
  ["a relative NODE_PATH", { NODE_PATH: "node_modules" }],
])("libtorch is not looked for there: %s", (_, environment) => {
  const { attempts } = inHostile<Discovery>(`console.log(JSON.stringify(require(${compiled("discover")}).discover()))`, environment);
  expect(attempts.length).toBeGreaterThanOrEqual(7);
  for (const attempt of attempts) expect(attempt.path ?? "/").toMatch(/^\//);
  expect(attempts.filter((attempt) => attempt.path?.startsWith(hostile))).toEqual([]);
  expect(existsSync(ran)).toBe(false);
});

test("a relative path that is named is reported with the absolute one", () => {
  const program = `console.log(JSON.stringify(require(${compiled("discover")}).discover()))`;
  const { attempts } = inHostile<Discovery>(program, { LIBTORCH: "torch", LIBTORCH_OOD_CACHE: "cache" });
  const problem = (source: string): string => attempts.find((attempt) => attempt.source === source)?.problem ?? "";
  expect(problem("LIBTORCH")).toBe(`torch: expected an absolute path, such as ${join(hostile, "torch")}; found a relative one`);
  expect(problem("cache")).toMatch(/^LIBTORCH_OOD_CACHE=cache: expected an absolute path/);
});

onPosix("pip is not taken from there", () => {
  const program = `
    const { findPython, pip } = require(${compiled("python")});
    const python = findPython(process.env);
    pip(python, ["--version"], process.env).then((failure) => console.log(JSON.stringify({ python, failure })));`;
  const environment = { PYTHONPATH: delimiter, PATH: `.${delimiter}${delimiter}${path}` };
  expect(inHostile<{ failure?: string }>(program, environment).failure).toBeUndefined();
  expect(existsSync(ran)).toBe(false);
});

onPosix("setup writes nothing there: an empty or relative HOME is that of the system's record", () => {
  const before = readdirSync(hostile);
  const program = `console.log(JSON.stringify(require(${compiled("cache")}).cacheDirectory()))`;
  for (const HOME of ["", ".", "home"]) {
    const cache = inHostile<string>(program, { HOME });
    expect(cache.startsWith(userInfo().homedir)).toBe(true);
  }
  expect(readdirSync(hostile)).toEqual(before);
});

test("an addon that a relative LIBTORCH_OOD_PREBUILD names is refused", () => {
  const program = `
    try { require(${compiled("addon-files")}).addonFiles(); console.log("{}"); }
    catch ({ code, message }) { console.log(JSON.stringify({ code, message })); }`;
  const { code, message } = inHostile<{ code: string; message: string }>(program, { LIBTORCH_OOD_PREBUILD: "build/debug" });
  expect([code, message]).toEqual(["ERR_IO", expect.stringMatching(/^LIBTORCH_OOD_PREBUILD=build\/debug: expected an absolute path/)]);
});

test("an addon that LIBTORCH_OOD_PREBUILD names and that is not there: the error names the variable", () => {
  const program = `
    try { require(${compiled("addon-files")}).addonFiles(); console.log("{}"); }
    catch ({ code, message }) { console.log(JSON.stringify({ code, message })); }`;
  const { code, message } = inHostile<{ code: string; message: string }>(program, { LIBTORCH_OOD_PREBUILD: "/nowhere" });
  expect([code, message]).toEqual(["ERR_IO", expect.stringContaining("prebuilds")]);
  expect(message).toMatch(/in \/nowhere\/build\/Release and .* \(LIBTORCH_OOD_PREBUILD=\/nowhere\)/);
});

onPosix.each<[string, NodeJS.ProcessEnv]>([
  ["NODE_PATH", { NODE_PATH: "node_modules" }],
  ["HOME", { HOME: "." }],
])("the package of the addon is not taken from there by a relative %s", (_, environment) => {
  const program = `
    try { console.log(JSON.stringify(require(${compiled("addon-files")}).addonFiles(${JSON.stringify(home)}))); }
    catch ({ code, message }) { console.log(JSON.stringify({ code, message })); }`;
  expect(inHostile(program, environment)).toMatchObject({ code: "ERR_IO", message: expect.stringContaining("no native addon") as string });
});

onPosix("an absolute NODE_PATH names where the packages are", () => {
  const program = `console.log(JSON.stringify(require(${compiled("addon-files")}).addonFiles(${JSON.stringify(home)})))`;
  const modules = join(hostile, "node_modules");
  expect(inHostile<{ addon: string }>(program, { NODE_PATH: modules }).addon.startsWith(modules)).toBe(true);
});
