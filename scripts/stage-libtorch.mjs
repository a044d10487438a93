// Lays out what @libtorch-ood/libtorch-<platform> carries: the shared libraries of a CPU build that the addon needs, checked
// against the wheel's own record, stripped, and the wheel's licence texts.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { readElf } from "./elf.mjs";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/**
 * @param pinned The version to pack: "2.13.0". It must lie in the cache of `setup` as a CPU build.
 * @returns the version as the build states it, and the SHA-256 of each library as the wheel has it
 */
export async function stageLibtorch(directory, pinned) {
  const entry = await cached(pinned);
  const lib = path.join(entry.torch.directory, "lib");
  const record = readRecord(path.join(entry.info, "RECORD"));
  const wheel = {};
  fs.mkdirSync(path.join(directory, "lib"));
  for (const name of librariesIn(lib)) {
    wheel[name] = checked(path.join(lib, name), record.get(`torch/lib/${name}`));
    strip(path.join(lib, name), path.join(directory, "lib", name));
  }
  fs.writeFileSync(path.join(directory, "build-version"), `${entry.torch.version}\n`);
  fs.cpSync(path.join(entry.info, "licenses"), path.join(directory, "licenses"), { recursive: true });
  return { version: entry.torch.version, wheel };
}

async function cached(pinned) {
  const compiled = (name) => import(pathToFileURL(path.join(root, "dist", "native", "libtorch", `${name}.js`)).href);
  const [{ cacheDirectory, cacheEntry }, { readTorchDirectory }] = [await compiled("cache"), await compiled("torch-directory")];
  const place = cacheEntry(cacheDirectory(), pinned, false);
  const torch = readTorchDirectory(place);
  const found = torch.problem ?? (torch.cuda === null ? undefined : `a CUDA build, ${torch.version}`);
  if (found) throw new Error(`${place}: expected a CPU build of libtorch ${pinned}, found: ${found}. To fetch it: npx libtorch-ood setup`);
  const info = fs.readdirSync(place).find((name) => /^torch-.*\.dist-info$/.test(name));
  return { torch, info: path.join(place, info) };
}

// What the addon names, and what those name in turn, as far as the wheel brings it; the rest is the system's.
function librariesIn(lib) {
  if (process.platform === "darwin") return ["libc10.dylib", "libtorch_cpu.dylib", "libomp.dylib"];
  const found = new Set(["libc10.so", "libtorch_cpu.so"]);
  for (const name of found) {
    for (const needed of readElf(path.join(lib, name)).needed) if (fs.existsSync(path.join(lib, needed))) found.add(needed);
  }
  return [...found];
}

function readRecord(file) {
  const lines = fs.readFileSync(file, "utf8").split("\n");
  return new Map(lines.map((line) => line.split(",")).map(([name, hash]) => [name, hash]));
}

function checked(file, expected) {
  const hash = createHash("sha256").update(fs.readFileSync(file));
  const found = `sha256=${hash.copy().digest("base64url")}`;
  if (found !== expected) throw new Error(`${file}: expected ${expected} as the wheel's RECORD says, found ${found}`);
  return hash.digest("hex");
}

function strip(from, to) {
  const args = process.platform === "darwin" ? ["-x", "-o", to, from] : ["--strip-unneeded", "-o", to, from];
  const { status, stderr, error } = spawnSync("strip", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`strip ${from}: ${error?.message ?? stderr}`);
  // Macs with Apple's processors load signed code only, and stripping has broken the signature.
  if (process.platform === "darwin") spawnSync("codesign", ["--force", "--sign", "-", to], { stdio: "inherit" });
}
