// Discovery in trees that look like libtorch: the order of places, what is skipped, and the reasons that are reported.

import { mkdtempSync, mkdirSync, rmSync, writeFileSync, chmodSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { describeAttempts, discoveryError } from "../../../lib/native/libtorch/diagnosis";
import { discover, runtimePackage, type DiscoveryOptions } from "../../../lib/native/libtorch/discover";
import { minorOf } from "../../../lib/native/libtorch/versions";
import { fakeTorch, write, type FakeTorch } from "./fake-torch";

let directory: string;
beforeEach(() => void (directory = mkdtempSync(join(tmpdir(), "discover-"))));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const at = (...parts: string[]) => join(directory, ...parts);
const sitePackages = (prefix: string) => at(prefix, "lib", "python3.12", "site-packages", "torch");

/** Discovery that sees only the temporary directory. */
function find(environment: NodeJS.ProcessEnv = {}, options: DiscoveryOptions = {}) {
  return discover({ environment: { LIBTORCH_OOD_CACHE: at("cache"), ...environment }, root: directory, ...options });
}

/** Every place that there is, filled, with the environment that names it, in the documented order. */
function everyPlace(torch: FakeTorch = {}): { environment: NodeJS.ProcessEnv; paths: string[] } {
  write(at("node_modules", runtimePackage, "package.json"), `{ "name": "${runtimePackage}", "version": "2.13.0" }`);
  const fromPython = fakeTorch(at("python", "torch"), torch);
  write(at("bin", "python3"), `#!/bin/sh\necho '${fromPython}'\n`);
  chmodSync(at("bin", "python3"), 0o755);
  const paths = [
    fakeTorch(at("home", "torch"), torch),
    fakeTorch(at("libtorch"), torch),
    fakeTorch(at("node_modules", runtimePackage, "torch"), torch),
    fakeTorch(sitePackages("venv"), torch),
    fakeTorch(sitePackages("conda"), torch),
    fromPython,
    fakeTorch(at("cache", "2.13.0", "torch"), torch),
  ];
  const environment = {
    LIBTORCH_OOD_HOME: at("home"),
    LIBTORCH: at("libtorch"),
    VIRTUAL_ENV: at("venv"),
    CONDA_PREFIX: at("conda"),
    LIBTORCH_USE_PYTORCH: "1",
    PATH: [at("bin"), process.env.PATH].join(delimiter),
  };
  return { environment, paths };
}

test("the places are tried in the documented order, each when those before it do not serve", () => {
  const { environment, paths } = everyPlace();
  const found: (string | undefined)[] = [];
  for (const path of paths) {
    found.push(find(environment).chosen?.directory);
    rmSync(join(path, "lib"), { recursive: true });
  }
  expect(found).toEqual(paths);
  expect(find(environment).chosen).toBeUndefined();
});

test("a wrong minor is skipped and reported, and the next place serves", () => {
  fakeTorch(at("old"), { version: "2.10.1" });
  const right = fakeTorch(at("cache", "2.13.0", "torch"));
  const { chosen, attempts } = find({ LIBTORCH: at("old") }, { minors: ["2.13"] });
  expect(chosen).toMatchObject({ directory: right, source: "cache", version: "2.13.0+cpu", cuda: null });
  expect(attempts.find(({ source }) => source === "LIBTORCH")?.problem).toBe("it is version 2.10.1; 2.13 is needed");
});

test("only wrong minors: ERR_LIBTORCH_VERSION with both versions, each place, and the command that fixes it", () => {
  const { environment, paths } = everyPlace({ version: "2.14.1" });
  const error = discoveryError(find(environment, { minors: ["2.13"] }), "2.13.0+cpu");
  expect(error.code).toBe("ERR_LIBTORCH_VERSION");
  const positions = paths.map((path) => error.message.indexOf(`${path.endsWith("torch") ? path.replace(/.torch$/, "") : path}`));
  expect(positions.every((position) => position > 0)).toBe(true);
  expect(error.message).toContain("built for libtorch 2.13.0+cpu");
  expect(error.message).toContain("it is version 2.14.1; 2.13 is needed");
  expect(error.message).toMatch(/npx libtorch-ood setup --version 2\.13\.0, or: npm install @libtorch-ood\/libtorch-\w+-\w+@~2\.13$/);
});

test("nothing anywhere: ERR_LIBTORCH_NOT_FOUND lists all seven places in order, each with its reason", () => {
  mkdirSync(at("empty"));
  const error = discoveryError(
    find({ LIBTORCH_OOD_HOME: at("nowhere"), LIBTORCH: at("empty"), VIRTUAL_ENV: at("empty") }, { minors: ["2.13"] }),
    "2.13.0",
  );
  expect(error.code).toBe("ERR_LIBTORCH_NOT_FOUND");
  const lines = error.message.split("\n").slice(1, -1);
  const expected: [string, string][] = [
    ["LIBTORCH_OOD_HOME", `${at("nowhere")}: no such directory`],
    ["LIBTORCH", `${at("empty")}: neither`],
    [runtimePackage, "not installed"],
    ["VIRTUAL_ENV", `no torch in the site-packages of ${at("empty")}`],
    ["CONDA_PREFIX", "not set"],
    ["LIBTORCH_USE_PYTORCH", "not set to 1"],
    ["cache", `nothing in ${at("cache")}`],
  ];
  expect(lines).toHaveLength(expected.length);
  for (const [index, [source, reason]] of expected.entries()) {
    expect(lines[index]!.trim().startsWith(source)).toBe(true);
    expect(lines[index]).toContain(reason);
  }
  expect(error.message).toMatch(
    /To fix it, run: npx libtorch-ood setup --version 2\.13\.0, or: npm install @libtorch-ood\/libtorch-\w+-\w+@~2\.13$/,
  );
});

test("the python on the PATH is asked only with LIBTORCH_USE_PYTORCH=1, and one without torch is reported", () => {
  write(at("bin", "python3"), `#!/bin/sh\ntouch '${at("asked")}'\necho\n`);
  chmodSync(at("bin", "python3"), 0o755);
  const environment = { PATH: [at("bin"), process.env.PATH].join(delimiter) };
  const problem = (result: ReturnType<typeof find>) => result.attempts.find(({ source }) => source === "LIBTORCH_USE_PYTORCH")?.problem;
  expect(problem(find({ ...environment, LIBTORCH_USE_PYTORCH: "0" }))).toBe("not set to 1");
  expect(() => rmSync(at("asked"))).toThrow();
  expect(problem(find({ ...environment, LIBTORCH_USE_PYTORCH: "1" }))).toBe("python3 has no torch");
  expect(problem(find({ PATH: at("none"), LIBTORCH_USE_PYTORCH: "1" }))).toContain("no python3 or python");
});

test("libtorch's zip, with build-version instead of version.py, is read too", () => {
  fakeTorch(at("libtorch"), { version: "2.13.0+cu130", zip: true });
  expect(find({ LIBTORCH: at("libtorch") }).chosen).toMatchObject({ version: "2.13.0+cu130", cuda: "13.0" });
});

test("a CUDA wheel's version is read from version.py", () => {
  fakeTorch(at("libtorch"), { version: "2.14.1+cu126", cuda: "12.6" });
  expect(find({ LIBTORCH: at("libtorch") }).chosen).toMatchObject({ version: "2.14.1+cu126", cuda: "12.6" });
});

test("a directory without headers serves for running and not for building", () => {
  fakeTorch(at("libtorch"), { headers: false });
  expect(find({ LIBTORCH: at("libtorch") }).chosen).toBeDefined();
  const { chosen, attempts } = find({ LIBTORCH: at("libtorch") }, { headers: true });
  expect(chosen).toBeUndefined();
  expect(attempts.find(({ source }) => source === "LIBTORCH")?.problem).toContain("no headers");
});

test("a directory that states no version is reported, not guessed at", () => {
  fakeTorch(at("libtorch"));
  writeFileSync(at("libtorch", "version.py"), "__version__ = broken");
  const { chosen, attempts } = find({ LIBTORCH: at("libtorch") });
  expect(chosen).toBeUndefined();
  expect(attempts.find(({ source }) => source === "LIBTORCH")?.problem).toContain("states a version");
});

test("in the cache the pinned version comes first, then the newest; with CUDA before without; foreign names are ignored", () => {
  for (const name of ["2.11.0", "2.14.1", "2.14.1-cuda", "2.14.0", "2.13.0", ".setup-123456", "notes"]) {
    fakeTorch(at("cache", name, "torch"), { version: /\d+\.\d+\.\d+/.exec(name)?.[0] ?? "2.14.9" });
  }
  const order: string[] = [];
  for (let chosen = find().chosen; chosen !== undefined; chosen = find().chosen) {
    order.push(chosen.directory.split(/[\\/]/).at(-2)!);
    rmSync(chosen.directory, { recursive: true });
  }
  expect(order).toEqual(["2.13.0", "2.14.1-cuda", "2.14.1", "2.14.0", "2.11.0"]);
});

test.each([
  ["2.13.0+cpu", "2.13"],
  ["2.14.0a0+git1234", "2.14"],
  ["2.9", "2.9"],
  ["2.130.1", "2.130"],
  ["nightly", undefined],
  ["2", undefined],
])("the minor of %s is %s", (version, minor) => {
  expect(minorOf(version)).toBe(minor);
});

test("a path with a line end stays on its line", () => {
  const named = "/x\nIt works.";
  const text = describeAttempts([
    { source: "VIRTUAL_ENV", problem: `no torch in the site-packages of ${named}` },
    { source: "LIBTORCH", path: named, problem: "nothing there" },
  ]);
  expect(text.split("\n")).toEqual([
    expect.stringContaining("of /x\\nIt works."),
    expect.stringContaining("/x\\nIt works.: nothing there"),
  ]);
});
