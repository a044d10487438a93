// Makes prebuilds/<platform>-<arch>/ for publishing: prebuildify builds, strips and moves one .node, the real addon; the
// loader and build.json go beside it. It works in a directory of its own, since node-gyp empties the build directory first
// and would take this clone's with it; the CMake tree is the clone's, so what is built already is not built again.

import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const platform = `${process.platform}-${process.arch}`;
const work = path.join(root, "build", "prebuild");
const prebuilds = path.join(root, "prebuilds", platform);

fs.rmSync(work, { recursive: true, force: true });
fs.mkdirSync(work, { recursive: true });
let gyp = fs.readFileSync(path.join(root, "binding.gyp"), "utf8");
for (const file of ["scripts/build-native.mjs", "CMakeLists.txt"]) {
  gyp = gyp.replace(`"${file}"`, JSON.stringify(path.join(root, file).replaceAll("\\", "/")));
}
fs.writeFileSync(path.join(work, "binding.gyp"), gyp);
fs.copyFileSync(path.join(root, "package.json"), path.join(work, "package.json"));

const prebuildify = path.join(root, "node_modules", "prebuildify", "bin.js");
run(process.execPath, [prebuildify, "--napi", "--strip", "--name", "libtorch_ood", "--cwd", work, "--out", root]);
const release = path.join(work, "build", "Release");
for (const name of ["loader.node", "build.json"]) fs.copyFileSync(path.join(release, name), path.join(prebuilds, name));
const onMac = process.platform === "darwin";
if (process.platform !== "win32") run("strip", [...(onMac ? ["-x"] : []), path.join(prebuilds, "loader.node")]);
// Macs with Apple's processors load signed code only, and stripping has broken the signatures.
if (onMac) for (const name of ["loader.node", "libtorch_ood.node"]) run("codesign", ["--force", "--sign", "-", path.join(prebuilds, name)]);
fs.rmSync(work, { recursive: true });
console.log(`Ready to pack: ${prebuilds}`);

function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: work, stdio: "inherit", env: { ...process.env, ...headers() } });
  if (error) console.error(`prebuild: ${command} cannot be run: ${error.message}`);
  if (status !== 0) process.exit(1);
}

// node-gyp wants Node's headers, though nothing here is compiled against them: those beside this Node save a download.
function headers() {
  const prefix = path.dirname(path.dirname(process.execPath));
  const present = fs.existsSync(path.join(prefix, "include", "node", "common.gypi"));
  return present && process.env.npm_config_nodedir === undefined ? { npm_config_nodedir: prefix } : {};
}
