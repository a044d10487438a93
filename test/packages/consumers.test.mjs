// The tarball under TypeScript, a bundler, and the checkers of package metadata.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { build } from "esbuild";
import { here, installedProject, root, served, succeed, write } from "./consumer.mjs";

const library = () =>
  path.join(
    served,
    readdirSync(served).find((file) => /^libtorch-ood-0\.\d+\.\d+\.tgz$/.test(file)),
  );

function checker(...args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8", cwd: served });
  assert.equal(status, 0, stdout + stderr);
  return stdout;
}

test("publint finds nothing", () => {
  assert.match(checker(path.join(here, "node_modules", "publint", "src", "cli.js"), "run", library(), "--strict"), /All good!/);
});

test("are-the-types-wrong finds nothing, whatever resolves them", () => {
  checker(path.join(here, "node_modules", "@arethetypeswrong", "cli", "dist", "index.js"), library(), "--no-emoji");
});

const consumer = `
  import { Detector, LibtorchOodError, Tensor, type Prediction } from "libtorch-ood";
  export async function judge(file: string, image: Uint8Array): Promise<Prediction | undefined> {
    try {
      const detector = await Detector.load(file);
      const [answer] = await detector.predict(Tensor.from(image, [1, 3, 32, 32]));
      return answer;
    } catch (error) {
      if (error instanceof LibtorchOodError && error.code === "ERR_LIBTORCH_NOT_FOUND") return undefined;
      // @ts-expect-error: no such code
      if (error instanceof LibtorchOodError && error.code === "ERR_NONSENSE") return undefined;
      throw error;
    }
  }
  // @ts-expect-error: an option that there is not
  void Detector.load("file", { unknown: true });`;

for (const options of [
  { module: "node16", moduleResolution: "node16" },
  { module: "nodenext", moduleResolution: "nodenext" },
  { module: "esnext", moduleResolution: "bundler" },
  { module: "preserve", moduleResolution: "bundler" },
]) {
  test(`a TypeScript project with module ${options.module} and moduleResolution ${options.moduleResolution}`, () => {
    const { directory } = installedProject();
    const files = [write(directory, "judge.mts", consumer)];
    if (options.moduleResolution !== "bundler") files.push(write(directory, "judge.cts", consumer));
    const strictest = { noEmit: true, strict: true, exactOptionalPropertyTypes: true, skipLibCheck: false, target: "es2022", types: [] };
    const lib = ["es2022", "dom", "esnext.disposable"];
    write(directory, "tsconfig.json", JSON.stringify({ compilerOptions: { ...strictest, lib, ...options }, files }));
    succeed(directory, ["node", path.join(root, "node_modules", "typescript", "bin", "tsc"), "-p", "tsconfig.json"]);
  });
}

const program = `
  import { device, linalg, Tensor } from "libtorch-ood";
  linalg.covariance(Tensor.from(Float64Array.of(1, 2, 3, 4, 5, 9), [3, 2]))
    .then((covariance) => console.log(JSON.stringify({ covariance: [...covariance.toArray()], libtorch: device.info().libtorch })));`;

for (const [what, external, format] of [
  ["with the library external", ["libtorch-ood"], "esm"],
  ["with the library in it and the addon external", ["@libtorch-ood/*", "*.node", "sharp"], "cjs"],
]) {
  test(`an esbuild bundle ${what}`, async () => {
    const { directory } = installedProject();
    const bundle = path.join("out", format === "esm" ? "bundle.mjs" : "bundle.cjs");
    const entryPoints = [write(directory, "app.mjs", program)];
    const { warnings } = await build({
      ...{ entryPoints, external, format, bundle: true, platform: "node" },
      ...{ outfile: path.join(directory, bundle), absWorkingDir: directory, logLevel: "silent" },
    });
    assert.deepEqual(warnings, []);
    const { covariance, libtorch } = JSON.parse(succeed(directory, ["node", bundle]));
    assert.deepEqual(covariance, [4, 7, 7, 13]);
    assert.match(libtorch, /^2\.13/);
  });
}
