// .dependency-cruiser.mjs: which way the imports of lib/ point.

import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { packageRoot } from "../../lib/core/package-root";

let project: string;
beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), "arrows-"));
  for (const name of [".dependency-cruiser.mjs", "tsconfig.json", "package.json"]) cpSync(join(packageRoot, name), join(project, name));
  for (const file of [
    "index",
    "core/errors",
    "data/dataset",
    "detector/detector",
    "experiment/index",
    "experiment/plan",
    "metrics/auroc",
  ]) {
    write(file, "export type Something = string;\n");
  }
});
afterEach(() => rmSync(project, { recursive: true, force: true }));

function write(file: string, text: string): void {
  const path = join(project, "lib", `${file}.ts`);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

function check() {
  const program = join(packageRoot, "node_modules/dependency-cruiser/bin/dependency-cruise.mjs");
  return spawnSync(process.execPath, [program, "lib", "--config", ".dependency-cruiser.mjs"], { cwd: project, encoding: "utf8" });
}

test.each([
  ["scores/vim", "../detector/detector", "scores-imports-downwards"],
  ["metrics/aupr", "../data/dataset", "metrics-imports-downwards"],
  ["core/checks", "../metrics/auroc", "core-imports-downwards"],
  ["experiment/run", "../detector/detector", "experiment-imports-downwards"],
  ["models/resnet", "../index", "index-is-for-programmes"],
  ["cli/experiment", "../experiment/plan", "cli-knows-experiments-by-their-interface"],
])("%s must not import %s", (file, target, rule) => {
  write(file, `import type { Something } from "${target}";\nexport type Other = Something;\n`);
  const { status, stdout } = check();
  expect(stdout).toContain(`${rule}: lib/${file}.ts → lib/${target.replace("../", "")}.ts`);
  expect(status).not.toBe(0);
});

test("what points downwards passes", () => {
  write("scores/vim", `import { type Something } from "../core/errors";\nexport type Other = Something;\n`);
  write("cli/experiment", `import type { Something } from "../experiment/index";\nexport type Other = Something;\n`);
  write("experiment/run", `import type { Something } from "../index";\nexport type Other = Something;\n`);
  expect(check()).toMatchObject({ status: 0, stderr: "" });
});
