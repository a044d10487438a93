// scripts/check-includes.mjs: which way the includes of native/ point.

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { packageRoot } from "../../lib/core/package-root";

let directory: string;
beforeEach(() => void (directory = mkdtempSync(join(tmpdir(), "includes-"))));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function check(...directories: string[]) {
  return spawnSync(process.execPath, [join(packageRoot, "scripts", "check-includes.mjs"), ...directories], { encoding: "utf8" });
}

function planted(file: string, line: string) {
  mkdirSync(join(directory, dirname(file)), { recursive: true });
  writeFileSync(join(directory, file), `// A planted file.\n${line}\n`);
  return check(directory);
}

test("the native sources point downwards", () => {
  expect(check()).toMatchObject({ status: 0, stderr: "" });
});

test.each([
  ["core/errors.h", '#include "runtime/executor.h"', "core/ must not include runtime/executor.h"],
  ["statistics/linalg.cc", '#include "binding/tensor.h"', "statistics/ must not include binding/tensor.h"],
  ["kernels/triangular.cc", '  #  include  "statistics/covariance.h"', "kernels/ must not include statistics/covariance.h"],
  ["models/network.h", "#include <napi.h>", "models/ must not include <napi.h>"],
  ["core/errors.h", '#include "napi.h"', "core/ must not include <napi.h>"],
  ["runtime/executor.cc", "#include <node_api.h>", "runtime/ must not include <node_api.h>"],
  ["helpers/all.h", '#include "core/errors.h"', "helpers/ has no place"],
])("%s with %s fails", (file, line, message) => {
  const { status, stderr } = planted(file, line);
  expect(status).toBe(1);
  expect(stderr).toContain(`${file}:2: ${message}`);
});

test.each([
  ["statistics/linalg.cc", '#include "kernels/matrix_product.h"'],
  ["binding/linalg.cc", "#include <napi.h>"],
  ["loader/loader.cc", "#include <node_api.h>"],
  ["scores/virtual_logit.h", "#include <memory>"],
])("%s with %s passes", (file, line) => {
  expect(planted(file, line)).toMatchObject({ status: 0, stderr: "" });
});
