// `npm run test:campaigns [-- [--share F] [--seconds N] [--tests PATTERN] [--document] NAME...]`: the reliability tests at full length. NAME chooses
// among the campaigns below (default: all), --share 0.1 makes a tenth of the repetitions, --seconds is the length of the mixed load (default 60),
// --tests runs those whose names match. Every figure is printed again at the end and written to build/campaigns.json, with
// --document also into docs/results/reliability.md.

import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { documentFigures } from "./reliability-figures.mjs";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const build = path.join(root, "build");

const campaigns = {
  exit: ["test/reliability/exit.test.ts"],
  workers: ["test/reliability/workers.test.ts"],
  cluster: ["test/reliability/cluster.test.ts"],
  memory: ["test/reliability/memory.test.ts"],
  "event-loop": ["test/reliability/event-loop.test.ts"],
  sources: ["test/reliability/sources.test.ts"],
  "full-disk": ["test/reliability/full-disk.test.ts"],
  extraction: ["test/cli/extraction-resume.test.ts"],
  "mixed-load": ["test/reliability/mixed-load.test.ts"],
  "hostile-files": [
    "test/formats/hostile-files.test.ts",
    "test/formats/safetensors-fuzz.test.ts",
    "test/formats/pickle.test.ts",
    "test/detector/detector-fuzz.test.ts",
  ],
};

const { values: options, positionals } = parseArgs({
  options: {
    share: { type: "string", default: "1" },
    seconds: { type: "string", default: "60" },
    tests: { type: "string" },
    document: { type: "boolean" },
  },
  allowPositionals: true,
});
const chosen = positionals.length > 0 ? positionals : Object.keys(campaigns);
for (const name of chosen) {
  if (!Object.hasOwn(campaigns, name)) throw new Error(`no campaign ${name}; there are ${Object.keys(campaigns).join(", ")}`);
}
for (const name of ["share", "seconds"]) {
  if (!(Number(options[name]) > 0)) throw new Error(`--${name}: expected a positive number, found ${options[name]}`);
}

const figuresFile = path.join(build, "campaign-figures.jsonl");
fs.mkdirSync(build, { recursive: true });
fs.writeFileSync(figuresFile, "");
const results = [];
for (const name of chosen) {
  const start = performance.now();
  const args = ["--runInBand", "--verbose", "--testTimeout=7200000", ...(options.tests ? ["-t", options.tests] : []), ...campaigns[name]];
  const { status } = spawnSync(process.execPath, [path.join(root, "node_modules", "jest", "bin", "jest.js"), ...args], {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, CAMPAIGN_SHARE: options.share, CAMPAIGN_SECONDS: options.seconds, CAMPAIGN_FIGURES: figuresFile },
  });
  results.push({ name, passed: status === 0, seconds: Math.round((performance.now() - start) / 1000) });
}

const figures = fs
  .readFileSync(figuresFile, "utf8")
  .trim()
  .split("\n")
  .filter(Boolean)
  .map((line) => JSON.parse(line));
const machine = {
  node: process.version,
  platform: `${process.platform}-${process.arch}`,
  processor: os.cpus()[0]?.model,
  cores: os.availableParallelism(),
};
fs.writeFileSync(path.join(build, "campaigns.json"), JSON.stringify({ machine, options, results, figures }, null, 2) + "\n");
console.log();
for (const { what, found } of figures) console.log(`${what}: ${JSON.stringify(found)}`);
console.log();
for (const { name, passed, seconds } of results) console.log(`${name}: ${passed ? "passed" : "failed"} in ${seconds} s`);
if (options.document) documentFigures(figures);
process.exitCode = results.every(({ passed }) => passed) ? 0 : 1;
