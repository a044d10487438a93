// Makes prebuilds/<platform>-<arch>/ for publishing: prebuildify builds, strips and moves one .node, the real addon; the
// loader and build.json go beside it, since node-gyp-build is asked for the directory (lib/libtorch/addon-files.ts).

import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const release = path.join(root, "build", "Release");
const prebuilds = path.join(root, "prebuilds", `${process.platform}-${process.arch}`);

node("node_modules/prebuildify/bin.js", "--napi", "--strip", "--name", "libtorch_ood");
for (const name of ["loader.node", "build.json"]) fs.copyFileSync(path.join(release, name), path.join(prebuilds, name));
// Prebuildify has taken the addon out of build/Release: put it there again, for this clone to work as before.
node("scripts/build-native.mjs");
console.log(`Ready to publish: ${prebuilds}`);

function node(...args) {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" });
  if (status !== 0) process.exit(1);
}
