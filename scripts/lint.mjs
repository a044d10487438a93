// Everything that can be checked without running the library, side by side: ESLint, Prettier, the types of the tests and of the Electron example, the
// direction of the includes in native/ and of the imports in lib/, the pages, the list of scores, and the table of scores in the guide against dist/ as
// compiled last; and, where clang-format 14 is installed (other versions format otherwise), the format of the C++.

import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const checks = [
  ["node_modules/eslint/bin/eslint.js", "."],
  ["node_modules/prettier/bin/prettier.cjs", "--check", ".", "--log-level", "warn"],
  ["node_modules/typescript/bin/tsc", "--noEmit", "-p", "tsconfig.test.json"],
  ["node_modules/typescript/bin/tsc", "-p", "test/examples/electron/tsconfig.json"],
  ["scripts/check-includes.mjs"],
  ["scripts/check-docs.mjs"],
  ["scripts/results-pages.mjs", "--check"],
  ["scripts/score-index.mjs", "--check"],
  ["scripts/score-table.mjs", "--check"],
  ["node_modules/dependency-cruiser/bin/dependency-cruise.mjs", "lib", "--config", ".dependency-cruiser.mjs"],
];

const results = await Promise.all([
  ...checks.map(([script, ...args]) => run(process.execPath, [path.join(root, script), ...args])),
  clangFormat(),
]);
process.exitCode = results.some((status) => status !== 0) ? 1 : 0;

async function clangFormat() {
  const version = spawnSync("clang-format", ["--version"], { encoding: "utf8" }).stdout?.match(/version (\d+)/)?.[1];
  if (version !== "14") {
    console.log(`clang-format: left out, since version 14 is not installed${version === undefined ? "" : ` (found ${version})`}`);
    return 0;
  }
  const folders = ["native", "test/sanitizers"];
  const files = folders.flatMap((folder) =>
    fs.readdirSync(path.join(root, folder), { recursive: true }).map((file) => path.join(folder, file)),
  );
  return run("clang-format", ["--dry-run", "-Werror", ...files.filter((file) => /\.(cc|h)$/.test(file))]);
}

// Output is held back until a check ends, so that those side by side do not mix.
function run(program, args) {
  const child = spawn(program, args, { cwd: root });
  const output = [];
  child.stdout.on("data", (chunk) => output.push(chunk));
  child.stderr.on("data", (chunk) => output.push(chunk));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status) => {
      process.stderr.write(Buffer.concat(output));
      resolve(status);
    });
  });
}
