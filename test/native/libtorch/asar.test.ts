// A program in Electron's archive, a real one made by @electron/asar: what the system has to open is taken from beside it. Electron's own file
// access is stood in for by programs/electron-files.cjs; what only Electron can show, its C++ and its packers, is not shown here.

import { createPackageWithOptions, extractFile, getRawHeader, type CreateOptions } from "@electron/asar";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { addonPackage } from "../../../lib/native/libtorch/addon-files";
import { archiveProblem, unpacked } from "../../../lib/native/libtorch/asar";
import { runtimePackage } from "../../../lib/native/libtorch/discover";
import { load } from "../../../lib/native/libtorch/load";
import { packageRoot, packageVersion } from "../../../lib/core/package-root";
import { temporaryDirectory } from "../../support/temporary-directory";

const directory = temporaryDirectory();
const addons = ["loader.node", "libtorch_ood.node"];

const main = `
  const { device, linalg } = require("libtorch-ood");
  const { load } = require("libtorch-ood/dist/native/libtorch/load.js");
  module.exports = (async () => {
    const { libtorch } = device.info();
    const logdet = await linalg.logdet({ data: Float64Array.of(2, 0, 0, 3), shape: [2, 2] });
    const { torch, files } = load();
    return { libtorch, logdet, source: torch.source, torch: torch.directory, addon: files.addon, packed: __filename };
  })();`;

interface Run {
  answer?: { libtorch: string; source: string; torch: string; addon: string; packed: string };
  error?: { code: string; message: string };
  opened: { asked: string; opened: string }[];
}

/** An application as npm installs it, with placeholders for libtorch's libraries, which would be half a gigabyte to copy. */
function application(): string {
  const app = directory.path("app");
  if (existsSync(app)) return app;
  const modules = join(app, "node_modules");
  const put = (file: string, content: string): void => {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  };
  put(join(app, "package.json"), `{ "name": "app", "main": "main.js" }`);
  put(join(app, "main.js"), main);
  cpSync(join(packageRoot, "dist"), join(modules, "libtorch-ood", "dist"), { recursive: true });
  put(join(modules, "libtorch-ood", "package.json"), readFileSync(join(packageRoot, "package.json"), "utf8"));
  for (const name of ["node-gyp-build", "cli-progress"]) {
    cpSync(join(packageRoot, "node_modules", name), join(modules, name), { recursive: true, dereference: true });
  }
  const { files, torch } = load();
  put(join(modules, addonPackage, "package.json"), `{ "name": "${addonPackage}", "version": "${packageVersion()}" }`);
  for (const name of [...addons, "build.json"]) cpSync(join(dirname(files.addon), name), join(modules, addonPackage, name));
  put(join(modules, runtimePackage, "package.json"), `{ "name": "${runtimePackage}", "version": "2.13.0" }`);
  for (const name of ["version.py", "build-version"]) {
    if (existsSync(join(torch.directory, name))) cpSync(join(torch.directory, name), join(modules, runtimePackage, name));
  }
  for (const name of ["libc10.so", "libtorch_cpu.so"]) put(join(modules, runtimePackage, "lib", name), "a placeholder");
  return app;
}

async function pack(name: string, options: CreateOptions): Promise<string> {
  const archive = directory.path(join(name, "app.asar"));
  await createPackageWithOptions(application(), archive, options);
  return archive;
}

/** Puts libtorch's real libraries where the placeholders were laid out. */
function withLibtorch(archive: string): void {
  const beside = join(`${archive}.unpacked`, "node_modules", runtimePackage);
  const { torch } = load();
  rmSync(join(beside, "lib"), { recursive: true });
  symlinkSync(join(torch.directory, "lib"), join(beside, "lib"));
  const nvidia = join(dirname(torch.directory), "nvidia"); // of a CUDA build
  if (existsSync(nvidia)) symlinkSync(nvidia, join(dirname(beside), "nvidia"));
}

function run(archive: string, environment: NodeJS.ProcessEnv = {}): Run {
  const isolated = { ...process.env, LIBTORCH_OOD_HOME: "", LIBTORCH: "", VIRTUAL_ENV: "", CONDA_PREFIX: "" };
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(__dirname, "programs", "runs-from-archive.cjs"), archive], {
    encoding: "utf8",
    env: { ...isolated, LIBTORCH_OOD_CACHE: directory.path("empty"), LIBTORCH_OOD_PREBUILD: "", ...environment },
  });
  if (status !== 0) throw new Error(`${status}: ${stdout}\n${stderr}`);
  return JSON.parse(stdout) as Run;
}

const onLinux = process.platform === "linux" ? test : test.skip;

onLinux(
  "addon and libtorch that are unpacked: the program in the archive computes, and the system is shown paths of real files",
  async () => {
    const archive = await pack("unpacked", { unpackDir: "node_modules/@libtorch-ood" });
    withLibtorch(archive);
    const { answer, error, opened } = run(archive);
    expect(error).toBeUndefined();
    const beside = join(`${archive}.unpacked`, "node_modules");
    expect(answer).toMatchObject({
      libtorch: load().torch.version.replace(/\+.*/, ""),
      source: runtimePackage,
      torch: join(beside, runtimePackage),
      addon: join(beside, addonPackage, "libtorch_ood.node"),
      packed: join(archive, "main.js"),
    });
    expect(opened.map(({ asked }) => asked)).toEqual(addons.map((name) => join(beside, addonPackage, name)));
    for (const { asked, opened: file } of opened) expect(file).toBe(asked); // none was copied out
  },
);

onLinux("of a program whose *.node files alone are unpacked, build.json is read in the archive", async () => {
  const archive = await pack("only-node-files", { unpack: "*.node" });
  const { answer, opened } = run(archive, { LIBTORCH_OOD_HOME: load().torch.directory });
  expect(answer).toMatchObject({ source: "LIBTORCH_OOD_HOME", torch: load().torch.directory });
  for (const { asked, opened: file } of opened) expect([file, asked]).toEqual([asked, expect.stringContaining("app.asar.unpacked")]);
});

onLinux("libtorch that is packed cannot be opened: the error says which archive it is in and what unpacks it", async () => {
  const archive = await pack("packed", {});
  const { error, opened } = run(archive);
  expect(opened).toHaveLength(1); // loader.node, which Electron copies out
  expect(opened[0]!.opened).not.toContain(".asar");
  expect(error!.code).toBe("ERR_LIBTORCH_NOT_FOUND");
  expect(error!.message).toContain(`It lies in the archive ${archive}, from which the system loads no library`);
  expect(error!.message).toContain("asarUnpack");
});

onLinux("the archive's header has the digests of the files beside it", async () => {
  const archive = await pack("digests", { unpackDir: "node_modules/@libtorch-ood" });
  interface Entry {
    files?: Record<string, Entry>;
    unpacked?: boolean;
    integrity?: { algorithm: string; hash: string };
  }
  const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
  const entryOf = (path: string): Entry => {
    let entry = getRawHeader(archive).header as unknown as Entry;
    for (const name of path.split("/")) entry = entry.files![name]!;
    return entry;
  };
  for (const name of addons) {
    const path = `node_modules/${addonPackage}/${name}`;
    const beside = readFileSync(join(`${archive}.unpacked`, path));
    expect(entryOf(path)).toMatchObject({ unpacked: true, integrity: { algorithm: "SHA256", hash: sha256(beside) } });
    expect(beside.equals(readFileSync(join(dirname(load().files.addon), name)))).toBe(true);
  }
  const packed = entryOf("main.js");
  expect(packed.unpacked).toBeUndefined();
  expect(packed.integrity!.hash).toBe(sha256(extractFile(archive, "main.js")));
});

test("paths: only those in an archive change, and only where the file is beside it", () => {
  const beside = directory.put("real.txt", "");
  mkdirSync(directory.path("a.asar.unpacked/lib"), { recursive: true });
  writeFileSync(directory.path("a.asar.unpacked/lib/x.so"), "");
  expect(unpacked(directory.path("a.asar/lib/x.so"))).toBe(directory.path("a.asar.unpacked/lib/x.so"));
  expect(unpacked(directory.path("a.asar.unpacked/lib/x.so"))).toBe(directory.path("a.asar.unpacked/lib/x.so"));
  expect(unpacked(directory.path("a.asar/lib/y.so"))).toBe(directory.path("a.asar/lib/y.so"));
  expect(unpacked(beside)).toBe(beside);
  mkdirSync(directory.path("folder.asar/lib"), { recursive: true }); // a plain directory of such a name
  expect(unpacked(directory.path("folder.asar/lib"))).toBe(directory.path("folder.asar/lib"));
  expect(archiveProblem("/opt/app.asar/lib/x.so")).toMatch(/^It lies in the archive \/opt\/app\.asar, /);
  expect(archiveProblem("/opt/app.asar.unpacked/lib/x.so")).toBeUndefined();
  expect(archiveProblem("/opt/lib/x.so")).toBeUndefined();
});
