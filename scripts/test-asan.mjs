// `npm run test:asan [-- [--document] FILE...]`: the addon with AddressSanitizer and UndefinedBehaviorSanitizer, and the tests of native code under it: those
// below, or the given files of jest. Every report of either sanitizer, in whatever process, fails the run. `--document` writes the
// figures into docs/results/reliability.md.
//
// Leaks are not looked for here: V8 leaves most of what it holds to the end of the process. test/reliability/memory.test.ts looks for them.

import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { documentFigures } from "./reliability-figures.mjs";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const at = (...parts) => path.join(root, ...parts);
const { values: options, positionals: files } = parseArgs({ options: { document: { type: "boolean" } }, allowPositionals: true });

/** What reaches every native class and function with small inputs; parity with PyTorch at full size is for `npm test`. */
const tests = [
  "test/native/tensor.test.ts",
  "test/statistics/linalg.test.ts",
  "test/statistics/class-statistics.test.ts",
  "test/statistics/gaussian-mixture.test.ts",
  "test/statistics/singular-values.test.ts",
  "test/statistics/neural-collapse.test.ts",
  "test/statistics/collapse-loss.test.ts",
  "test/formats/state-file.test.ts",
  "test/scores/",
  "test/detector/",
  "test/formats/hostile-files.test.ts",
  "test/models/resnet/abort.test.ts",
  "test/models/resnet/arguments.test.ts",
  "test/models/resnet/checkpoint.test.ts",
  "test/models/resnet/collapse-training.test.ts",
  "test/models/resnet/extract",
  "test/models/resnet/measured-training.test.ts",
  "test/models/resnet/training-api.test.ts",
  "test/models/resnet/winograd.test.ts",
  "test/reliability/exit.test.ts",
  "test/reliability/workers.test.ts",
  "test/reliability/cluster.test.ts",
];

run(process.execPath, [at("scripts", "build-native.mjs"), "--sanitize"], process.env);

const reports = at("build", "asan-reports");
fs.rmSync(reports, { recursive: true, force: true });
fs.mkdirSync(reports, { recursive: true });
const environment = {
  ...process.env,
  LIBTORCH_OOD_PREBUILD: at("build", "sanitize"),
  // Node is not built with the sanitizer, whose library has to be the first; libstdc++, whose exceptions it watches, has to be there before
  // the addon is.
  LD_PRELOAD: ["libasan.so", "libstdc++.so"].map(libraryOfCompiler).join(" "),
  ASAN_OPTIONS: `detect_leaks=0:log_path=${path.join(reports, "address")}:${process.env.ASAN_OPTIONS ?? ""}`,
  UBSAN_OPTIONS: `print_stacktrace=1:log_path=${path.join(reports, "undefined")}:${process.env.UBSAN_OPTIONS ?? ""}`,
  CAMPAIGN_SHARE: "0.02", // 2 of 100 ends of processes and workers, 200 of 10,000 files: each is slow here
};

// Else all below would pass without a sanitizer.
const script = 'require("./dist").device.info(); console.log(require("fs").readFileSync("/proc/self/maps", "utf8"))';
const maps = spawnSync(process.execPath, ["-e", script], { cwd: root, env: environment, encoding: "utf8" });
for (const library of [at("build", "sanitize"), "libasan", "libubsan"]) {
  if (!maps.stdout.includes(library)) throw new Error(`${library} is not loaded in the process that is to be tested\n${maps.stderr}`);
}

const start = performance.now();
const results = at("build", "asan-jest.json");
const jest = ["--runInBand", "--testTimeout=600000", "--json", `--outputFile=${results}`, ...(files.length > 0 ? files : tests)];
fs.rmSync(results, { force: true });
const { status } = spawnSync(process.execPath, [at("node_modules", "jest", "bin", "jest.js"), ...jest], {
  cwd: root,
  env: environment,
  stdio: ["ignore", "ignore", "inherit"],
});
const found = fs.readdirSync(reports);
for (const name of found) console.error(`${name}:\n${fs.readFileSync(path.join(reports, name), "utf8")}`);
const { numPassedTests: passed = 0, numFailedTests: failed = 0 } = fs.existsSync(results)
  ? JSON.parse(fs.readFileSync(results, "utf8"))
  : {};
const figures = {
  reports: found.length,
  testsPassed: passed,
  testsFailed: failed,
  minutes: Math.round((performance.now() - start) / 60_000),
};
console.log(`AddressSanitizer and UndefinedBehaviorSanitizer: ${JSON.stringify(figures)}`);
if (options.document) documentFigures([{ what: "AddressSanitizer and UndefinedBehaviorSanitizer", found: figures }]);
process.exitCode = status === 0 && passed > 0 && found.length === 0 ? 0 : 1;

function libraryOfCompiler(name) {
  const { stdout } = spawnSync(process.env.CXX || "c++", [`-print-file-name=${name}`], { encoding: "utf8" });
  const file = stdout.trim();
  if (!path.isAbsolute(file)) throw new Error(`the compiler has no ${name}: GCC on Linux is needed`);
  return file;
}

function run(command, args, env) {
  const { status } = spawnSync(command, args, { cwd: root, env, stdio: "inherit" });
  if (status !== 0) process.exit(1);
}
