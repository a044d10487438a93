// Everything that can be checked without running the library, side by side: ESLint, Prettier, the types of the tests and of the Electron example, and
// the direction of the includes in native/.

import { spawn } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const checks = [
  ["node_modules/eslint/bin/eslint.js", "."],
  ["node_modules/prettier/bin/prettier.cjs", "--check", ".", "--log-level", "warn"],
  ["node_modules/typescript/bin/tsc", "--noEmit", "-p", "tsconfig.test.json"],
  ["node_modules/typescript/bin/tsc", "-p", "test/examples/electron/tsconfig.json"],
  ["scripts/check-includes.mjs"],
];

const results = await Promise.all(checks.map(run));
process.exitCode = results.some((status) => status !== 0) ? 1 : 0;

// Output is held back until a check ends, so that those side by side do not mix.
function run([script, ...args]) {
  const child = spawn(process.execPath, [path.join(root, script), ...args], { cwd: root });
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
