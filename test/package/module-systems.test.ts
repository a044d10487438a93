// The package as others meet it: `import` and `require` by name, with one copy of every class, and types for both, also
// under the strictest checks of a TypeScript project without Node's types.

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packageRoot } from "../../lib/core/package-root";

let project: string;
beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), "consumer-"));
  mkdirSync(join(project, "node_modules"));
  symlinkSync(packageRoot, join(project, "node_modules", "libtorch-ood"));
});
afterAll(() => rmSync(project, { recursive: true, force: true }));

function write(name: string, text: string): string {
  writeFileSync(join(project, name), text);
  return join(project, name);
}

const node = (...args: string[]) => spawnSync(process.execPath, args, { cwd: project, encoding: "utf8" });

test("import and require give the same names and the same objects", () => {
  const file = write(
    "both.mjs",
    `import * as imported from "libtorch-ood";
     import { ResNet, Tensor, LibtorchOodError } from "libtorch-ood";
     import { createRequire } from "node:module";
     const required = createRequire(import.meta.url)("libtorch-ood");
     const names = Object.keys(required).sort();
     console.log(JSON.stringify({
       names,
       sameNames: names.join() === Object.keys(imported).sort().join(),
       sameObjects: names.every((name) => imported[name] === required[name]) && [ResNet, Tensor, LibtorchOodError].every((c) => typeof c === "function"),
     }));`,
  );
  const { stdout, stderr } = node(file);
  expect(stderr).toBe("");
  const { names, sameNames, sameObjects } = JSON.parse(stdout) as { names: string[]; sameNames: boolean; sameObjects: boolean };
  expect({ sameNames, sameObjects }).toEqual({ sameNames: true, sameObjects: true });
  expect(names).toEqual(expect.arrayContaining(["Dataset", "LibtorchOodError", "ResNet", "Tensor", "datasets", "device", "metrics"]));
});

test("libtorch-ood/experiments: both module systems share it, and the classes of the package", () => {
  const file = write(
    "experiments.mjs",
    `import { LibtorchOodError } from "libtorch-ood";
     import * as imported from "libtorch-ood/experiments";
     import { createRequire } from "node:module";
     const required = createRequire(import.meta.url)("libtorch-ood/experiments");
     const error = await imported.run({}, { data: ".", out: "." }).catch((error) => error);
     console.log(JSON.stringify([
       Object.keys(required).every((name) => imported[name] === required[name]),
       ["preview", "read", "report", "resume", "run"].every((name) => typeof imported[name] === "function"),
       error instanceof LibtorchOodError,
     ]));`,
  );
  expect(node(file)).toMatchObject({ stdout: "[true,true,true]\n", stderr: "" });
});

test("loading the package alone does not load libtorch, so that --help and error handling work without it", () => {
  const file = write("quiet.cjs", `const { Tensor } = require("libtorch-ood"); console.log(typeof Tensor);`);
  const nowhere = { LIBTORCH_OOD_HOME: "", LIBTORCH: "", VIRTUAL_ENV: "", CONDA_PREFIX: "", LIBTORCH_OOD_CACHE: project };
  const { stdout, stderr } = spawnSync(process.execPath, [file], { encoding: "utf8", env: { ...process.env, ...nowhere } });
  expect([stdout, stderr]).toEqual(["function\n", ""]);
});

test("types resolve by import and by require, in nodenext and in bundler projects, with declarations checked", () => {
  const body = `const shape: number[] = Tensor.from(new Float32Array(4), [2, 2]).shape;
    const create: (options: ResNetOptions) => Promise<ResNet> = ResNet.create;
    // @ts-expect-error: an unknown option
    void ResNet.create({ numClasses: 10, unknown: true });
    void [shape, create];`;
  const files = [
    write("esm.mts", `import { ResNet, Tensor, type ResNetOptions } from "libtorch-ood";\n${body}`),
    write("cjs.cts", `import { ResNet, Tensor, type ResNetOptions } from "libtorch-ood";\n${body}`),
    write(
      "cjs-require.cts",
      `import ood = require("libtorch-ood");\nconst { ResNet, Tensor } = ood; type ResNetOptions = ood.ResNetOptions; type ResNet = ood.ResNet;\n${body}`,
    ),
  ];
  const tsc = join(packageRoot, "node_modules", "typescript", "bin", "tsc");
  for (const options of [{ module: "nodenext" }, { module: "esnext", moduleResolution: "bundler" }]) {
    const strictest = { noEmit: true, strict: true, target: "es2022", lib: ["es2022", "dom", "esnext.disposable"], types: [] };
    const included = options.module === "nodenext" ? files : files.slice(0, 1);
    write("tsconfig.json", JSON.stringify({ compilerOptions: { ...strictest, ...options }, files: included }));
    expect(node(tsc, "-p", project).stdout).toBe("");
  }
});
