// Which way the includes of native/ point: each folder knows those below it and no other, and binding/ and loader/ alone know Node.
//   node scripts/check-includes.mjs [DIRECTORY]    (native/ by default; prints each include that points elsewhere)

import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** Folder by folder, lowest first: what a file of it may include besides its own folder. */
const below = {
  core: [],
  platform: ["core"],
  runtime: ["core", "platform"],
  kernels: ["core", "platform"],
  data: ["core", "platform"],
  images: ["core", "platform", "data", "third_party"],
  models: ["core", "platform", "kernels", "data"],
  statistics: ["core", "platform", "runtime", "kernels"],
  scores: ["core", "platform", "kernels", "statistics"],
  training: ["core", "platform", "data", "models"],
  binding: ["core", "platform", "runtime", "kernels", "data", "images", "models", "statistics", "scores", "training"],
  loader: ["platform"],
  tests: ["core", "platform", "runtime", "kernels", "data", "images", "models", "statistics", "scores", "training"],
};

/** Headers of Node, for binding/ and loader/ alone. */
const node = /^(napi|node_api|js_native_api|node|v8|uv)(-inl)?\.h$/;

const root = path.resolve(process.argv[2] ?? path.join(path.dirname(path.dirname(fileURLToPath(import.meta.url))), "native"));
const faults = fs
  .readdirSync(root, { recursive: true })
  .filter((file) => /\.(cc|h)$/.test(file))
  .sort()
  .flatMap(faultsOf);
for (const fault of faults) console.error(fault);
process.exitCode = faults.length > 0 ? 1 : 0;

function faultsOf(file) {
  const folder = file.split(path.sep)[0];
  const lines = fs.readFileSync(path.join(root, file), "utf8").split("\n");
  return lines.flatMap((line, index) => {
    const [, quoted, angled] = line.match(/^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)/) ?? [];
    const fault = quoted !== undefined ? faultOfOwn(folder, quoted) : angled !== undefined ? faultOfSystem(folder, angled) : undefined;
    return fault === undefined ? [] : [`${path.join(path.basename(root), file)}:${index + 1}: ${fault}`];
  });
}

function faultOfOwn(folder, header) {
  if (node.test(path.basename(header))) return faultOfSystem(folder, path.basename(header));
  const target = header.split("/")[0];
  if (!(folder in below)) return `${folder}/ has no place among the folders of scripts/check-includes.mjs`;
  if (target === folder || below[folder].includes(target)) return undefined;
  return `${folder}/ must not include ${header}: it may know ${[...below[folder], folder].map((name) => `${name}/`).join(", ")}`;
}

function faultOfSystem(folder, header) {
  return node.test(header) && folder !== "binding" && folder !== "loader"
    ? `${folder}/ must not include <${header}>: Node-API belongs to binding/ and loader/`
    : undefined;
}
