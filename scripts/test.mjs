// `npm test`: set-up, lint, type tests, the reference, the tests in C++, jest. All of them run even if one fails; the last line sums them up,
// with lint, the type tests and the reference as one each.

import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const jestResults = path.join(root, "build", "jest.json");

if (node("scripts/bootstrap.mjs") !== 0) {
  console.log("0 passed, 1 failed");
  process.exit(1);
}
const counts = [
  step("lint", "scripts/lint.mjs"),
  step("types", "node_modules/tsd/dist/cli.js", "--files", "types/*.test-d.ts"),
  step("reference", "scripts/docs.mjs", "--check"),
  native(),
  jest(),
];
const passed = sum(counts.map((count) => count.passed));
const failed = sum(counts.map((count) => count.failed));
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
console.log(`${passed} passed, ${failed} failed`);

function step(name, ...args) {
  const start = performance.now();
  const failed = node(...args) === 0 ? 0 : 1;
  console.log(`${name}: ${failed ? "failed" : "passed"} in ${((performance.now() - start) / 1000).toFixed(0)} s`);
  return { passed: 1 - failed, failed };
}

function native() {
  const { status, stdout } = spawnSync(process.execPath, ["scripts/test-native.mjs"], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  process.stdout.write(stdout);
  const [, passed, failed] = stdout.match(/(\d+) passed, (\d+) failed\s*$/) ?? [];
  return { passed: Number(passed ?? 0), failed: Math.max(Number(failed ?? 0), status === 0 ? 0 : 1) };
}

// A test file that cannot be run at all counts as one failure; so does jest itself if it ends without results.
function jest() {
  fs.rmSync(jestResults, { force: true });
  const status = node("node_modules/jest/bin/jest.js", "--json", `--outputFile=${jestResults}`);
  if (!fs.existsSync(jestResults)) return { passed: 0, failed: 1 };
  const results = JSON.parse(fs.readFileSync(jestResults, "utf8"));
  const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
  return { passed: results.numPassedTests, failed: Math.max(failed, status === 0 ? 0 : 1) };
}

function node(...args) {
  return spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" }).status ?? 1;
}

function sum(numbers) {
  return numbers.reduce((total, value) => total + value, 0);
}
