// `setup` with a Python whose pip is played by a script: what it is asked for, and what is in the cache afterwards.

import { spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setup, type SetupOptions } from "../../../lib/native/libtorch/setup";
import { writableByOthers } from "../../../lib/native/libtorch/writable";
import { packageRoot } from "../../../lib/core/package-root";
import { fakeTorch, write } from "./fake-torch";

let directory: string;
beforeEach(() => void (directory = mkdtempSync(join(tmpdir(), "setup-"))));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const at = (...parts: string[]) => join(directory, ...parts);
const cpuIndex = "https://download.pytorch.org/whl/cpu";

/** What the played pip does; each is a shell pattern of its arguments. */
interface Pip {
  /** Calls that fail, with this text. */
  fails?: { when: string; text: string };
  /** What `pip install torch` installs. */
  version?: string;
  cuda?: string;
  metadata?: string;
  python?: string;
  missing?: boolean;
  /** Seconds that it takes. */
  takes?: number;
}

/** Puts a python3 on a PATH of its own; its pip copies a prepared site-packages and logs its arguments. */
function fakePython({
  fails,
  version = "2.13.0+cpu",
  cuda,
  metadata = "Name: torch\n",
  python = "3 12",
  missing = false,
  takes = 0,
}: Pip = {}): void {
  const wheel = at("wheel");
  fakeTorch(join(wheel, "torch"), { version, cuda });
  for (const name of ["libc10.so", "libtorch_python.so", "libtorch_cuda.so"]) write(join(wheel, "torch", "lib", name), "");
  for (const name of ["torch/nn/modules.py", "torch/bin/protoc", "torchgen/api.py", "torch/test/atest"]) write(join(wheel, name), "");
  write(join(wheel, `torch-${version.replace(/\+.*/, "")}.dist-info`, "METADATA"), metadata);
  write(join(wheel, `torch-${version.replace(/\+.*/, "")}.dist-info`, "licenses", "LICENSE"), "BSD");
  const failing = fails ? `*${fails.when}*) echo "${fails.text}" >&2; exit 1;;` : "";
  write(
    at("bin", "python3"),
    `#!/bin/sh
case "$*" in
  *version_info*) echo '${python}'; exit 0;;
  *"pip --version"*) exit ${missing ? 1 : 0};;
esac
echo "$*" >> '${at("log")}'
case "$*" in ${failing} esac
[ ${takes} = 0 ] || exec sleep ${takes}
while [ "$1" != --target ]; do shift; done
mkdir -p "$2"
case "$*" in
  *torch==*) cp -r '${wheel}'/. "$2";;
  *) mkdir -p "$2/nvidia/cu13/lib" "$2/nvidia/cu13/include";;
esac
`,
  );
  chmodSync(at("bin", "python3"), 0o755);
}

function run(options: SetupOptions = {}, environment: NodeJS.ProcessEnv = {}) {
  const path = [at("bin"), "/usr/bin", "/bin"].join(delimiter);
  return setup({ environment: { LIBTORCH_OOD_CACHE: at("cache"), PATH: path, ...environment }, ...options });
}

const log = () => (existsSync(at("log")) ? readFileSync(at("log"), "utf8").trim().split("\n") : []);

test("fetches the pinned version from the CPU index, prunes it, and a second call does nothing", async () => {
  fakePython();
  const lines: string[] = [];
  const torch = await run({ report: (line) => lines.push(line) });
  expect(torch).toMatchObject({ directory: at("cache", "2.13.0", "torch"), version: "2.13.0+cpu", headers: true });
  expect(log()).toEqual([expect.stringMatching(/--no-deps --index-url \S+\/whl\/cpu --retries 0 --timeout 10 torch==2\.13\.0$/)]);
  expect(lines).toEqual([`Fetching torch==2.13.0 from ${cpuIndex}`]);
  expect(readdirSync(at("cache"))).toEqual(["2.13.0"]);
  expect(readdirSync(at("cache", "2.13.0")).sort()).toEqual(["torch", "torch-2.13.0.dist-info"]);
  expect(readdirSync(at("cache", "2.13.0", "torch")).sort()).toEqual(["include", "lib", "version.py"]);
  expect(readdirSync(at("cache", "2.13.0", "torch", "lib")).sort()).toEqual(["libc10.so", "libtorch_cpu.so"]);
  expect(existsSync(at("cache", "2.13.0", "torch-2.13.0.dist-info", "licenses", "LICENSE"))).toBe(true);

  expect(await run()).toEqual(torch);
  expect(log()).toHaveLength(1);
  await run({ force: true });
  expect(log()).toHaveLength(2);
});

test("where the CPU index is out of reach the plain package serves, with the two packages that a CUDA build needs", async () => {
  const metadata = 'Requires-Dist: cuda-toolkit[cublas,cudart,cupti]==13.0.3; platform_system == "Linux"\n';
  fakePython({ fails: { when: "--index-url", text: "no route" }, version: "2.13.0+cu130", cuda: "13.0", metadata });
  const torch = await run();
  expect(torch).toMatchObject({ version: "2.13.0+cu130", cuda: "13.0" });
  const [index, plain, nvidia, ...more] = log();
  expect(index).toContain(`--index-url ${cpuIndex}`);
  expect(plain).toMatch(/--no-deps torch==2\.13\.0$/);
  expect(nvidia).toMatch(/ cuda-toolkit\[cudart,cupti\]==13\.0\.3$/);
  expect(nvidia).not.toContain("--no-deps");
  expect(more).toEqual([]);
  expect(readdirSync(at("cache", "2.13.0", "torch", "lib"))).not.toContain("libtorch_cuda.so");
  expect(readdirSync(at("cache", "2.13.0", "nvidia", "cu13"))).toEqual(["lib"]);
});

test("--cuda asks the plain package, keeps libtorch_cuda and takes all of NVIDIA's packages, in an entry of its own", async () => {
  const metadata = 'Requires-Dist: nvidia-cudnn-cu13==9.24.0.43; platform_system == "Linux"\nRequires-Dist: triton~=3.8.0\n';
  fakePython({ version: "2.13.0+cu130", cuda: "13.0", metadata });
  const torch = await run({ cuda: true });
  expect(torch.directory).toBe(at("cache", "2.13.0-cuda", "torch"));
  expect(log().map((line) => line.split(" ").at(-1))).toEqual(["torch==2.13.0", "nvidia-cudnn-cu13==9.24.0.43"]);
  expect(log().join()).not.toContain("--index-url");
  expect(readdirSync(join(torch.directory, "lib"))).toContain("libtorch_cuda.so");
});

test("--cuda that gets a CPU build says which index to name", async () => {
  fakePython();
  await expect(run({ cuda: true })).rejects.toMatchObject({
    code: "ERR_LIBTORCH_NOT_FOUND",
    message: expect.stringContaining("LIBTORCH_OOD_INDEX="),
  });
  expect(readdirSync(at("cache"))).toEqual([]);
});

test("LIBTORCH_OOD_INDEX names another index, or none", async () => {
  fakePython();
  await run({}, { LIBTORCH_OOD_INDEX: "https://mirror.example/cpu" });
  await run({ force: true }, { LIBTORCH_OOD_INDEX: "" });
  const [mirror, none] = log();
  expect(mirror).toContain("--index-url https://mirror.example/cpu");
  expect(none).not.toContain("--index-url");
});

test("a minor takes the newest of it, under the version that came", async () => {
  fakePython({ version: "2.14.1+cpu" });
  const torch = await run({ version: "2.14" });
  expect(log()[0]).toMatch(/torch==2\.14\.\*$/);
  expect(torch.directory).toBe(at("cache", "2.14.1", "torch"));
  expect(await run({ version: "2.14" })).toEqual(torch);
  expect(await run({ version: "2.14.1" })).toEqual(torch);
  expect(log()).toHaveLength(1);
});

test.each(["2.10.0", "3.0", "latest", "2.13.0+cpu", "2.13.0; rm"])("version %s is refused before anything runs", async (version) => {
  fakePython();
  await expect(run({ version })).rejects.toMatchObject({ code: "ERR_OPTION", message: expect.stringContaining(JSON.stringify(version)) });
  expect(log()).toEqual([]);
});

test("when pip fails, both answers and the mending command are in the error, and the cache stays empty", async () => {
  fakePython({ fails: { when: "torch==", text: "no matching distribution" } });
  const failure = run();
  await expect(failure).rejects.toMatchObject({ code: "ERR_LIBTORCH_NOT_FOUND" });
  await expect(failure).rejects.toThrow(
    /From https:\S+:\nno matching distribution\nThe plain package:\nno matching distribution\n.*npx libtorch-ood setup$/,
  );
  expect(readdirSync(at("cache"))).toEqual([]);
});

test("a package of another version than asked for is not taken", async () => {
  fakePython({ version: "2.12.0" });
  await expect(run()).rejects.toMatchObject({ code: "ERR_LIBTORCH_NOT_FOUND", message: expect.stringContaining("2.12.0") });
  expect(readdirSync(at("cache"))).toEqual([]);
});

test("a Python for which there are no wheels asks pip for those of another", async () => {
  fakePython({ python: "3 8" });
  await run();
  expect(log()[0]).toContain("--python-version 3.12 --only-binary=:all:");
});

test("no Python: the error says how to get it", async () => {
  await expect(run({}, { PATH: at("none") })).rejects.toMatchObject({
    code: "ERR_LIBTORCH_NOT_FOUND",
    message: expect.stringMatching(/none of python3, python and py is on the PATH[^]*(apt|brew) install/),
  });
});

test("Python 2 only counts as no Python; Python without pip says how to get pip", async () => {
  fakePython({ python: "2 7" });
  await expect(run({}, { PATH: [at("bin"), at("none")].join(delimiter) })).rejects.toThrow("Python 3 with pip is needed");
  fakePython({ missing: true });
  await expect(run({}, { PATH: [at("bin"), at("none")].join(delimiter) })).rejects.toThrow(/`python3` has none\. Install it:/);
});

test("several at once end with one complete entry and nothing left over", async () => {
  fakePython();
  const found = await Promise.all([run(), run(), run()]);
  expect(new Set(found.map((torch) => torch.directory))).toEqual(new Set([at("cache", "2.13.0", "torch")]));
  expect(readdirSync(at("cache"))).toEqual(["2.13.0"]);
});

test("an entry that has lost its library is replaced", async () => {
  fakePython();
  mkdirSync(at("cache", "2.13.0", "torch", "lib"), { recursive: true });
  expect(await run()).toMatchObject({ version: "2.13.0+cpu" });
  expect(existsSync(at("cache", "2.13.0", "torch", "lib", "libtorch_cpu.so"))).toBe(true);
  expect(readdirSync(at("cache"))).toEqual(["2.13.0"]);
});

test("a cache that cannot be made is ERR_IO with another place to name, and no stack trace: a file in its way, or a directory of no files", async () => {
  fakePython();
  writeFileSync(at("file"), "");
  const places = [at("file"), at("file", "cache"), ...(process.platform === "linux" ? ["/proc/libtorch-ood", "/proc/self/x/y"] : [])];
  for (const place of places) {
    await expect(run({}, { LIBTORCH_OOD_CACHE: place })).rejects.toMatchObject({
      code: "ERR_IO",
      message: expect.stringMatching(/^cannot (read|write) the cache .*(ENOTDIR|EEXIST|ENOENT).*LIBTORCH_OOD_CACHE names another place/),
    });
  }
});

test("whatever the umask, nobody else may write what was fetched", async () => {
  fakePython();
  const before = process.umask(0);
  try {
    const { directory: torch } = await run();
    for (const path of [at("cache"), at("cache", "2.13.0"), torch, join(torch, "lib"), join(torch, "lib", "libc10.so")]) {
      expect(lstatSync(path).mode & 0o022).toBe(0);
      expect(lstatSync(path).mode & 0o700).not.toBe(0);
    }
    const ours = (paths: string[]): string[] => writableByOthers(paths).filter((line) => line.startsWith(at("cache")));
    expect(ours([join(torch, "lib", "libc10.so")])).toEqual([]);
    chmodSync(at("cache", "2.13.0"), 0o777);
    expect(ours([join(torch, "lib", "libc10.so")])).toEqual([`${at("cache", "2.13.0")}: everybody may write there (mode 0777)`]);
  } finally {
    process.umask(before);
  }
});

/** The command line in a process of its own, which runs dist/; stopped by this signal as soon as pip runs. */
async function interrupted(signal: NodeJS.Signals): Promise<{ code: number | null; signal: NodeJS.Signals | null; stderr: string }> {
  fakePython({ takes: 20 });
  const env = { ...process.env, LIBTORCH_OOD_CACHE: at("cache"), PATH: [at("bin"), "/usr/bin", "/bin"].join(delimiter) };
  const child = spawn(process.execPath, [join(packageRoot, "dist", "cli", "main.js"), "setup", "--version", "2.13.0"], { env });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  while (log().length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  child.kill(signal);
  return new Promise((resolve) => child.once("exit", (code, killedBy) => resolve({ code, signal: killedBy, stderr })));
}

test.each<[NodeJS.Signals, number]>([
  ["SIGINT", 130],
  ["SIGTERM", 143],
])("%s ends it with %i, and leaves nothing", async (signal, code) => {
  expect(await interrupted(signal)).toMatchObject({ code, stderr: "interrupted; the cache is as it was\n" });
  expect(readdirSync(at("cache"))).toEqual([]);
});

test("what a killed run has left is removed by the next one, also where there is nothing to fetch; what others are at work on is not", async () => {
  expect(await interrupted("SIGKILL")).toMatchObject({ signal: "SIGKILL" });
  const [left] = readdirSync(at("cache"));
  expect(left).toMatch(/^\.setup-/);
  rmSync(at("log"));
  fakePython();
  const other = at("cache", ".setup-00000000-1-abc"); // of another host or container: only its age tells
  mkdirSync(other);
  await run();
  expect(readdirSync(at("cache")).sort()).toEqual([".setup-00000000-1-abc", "2.13.0"]);
  utimesSync(other, new Date(0), new Date(0));
  await run();
  expect(readdirSync(at("cache"))).toEqual(["2.13.0"]);
  expect(log()).toHaveLength(1);
});
