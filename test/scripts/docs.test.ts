// scripts/docs.mjs: the reference is made from docstrings, and every export has one.

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packageRoot } from "../../lib/core/package-root";

let directory: string;
beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), "reference-")));
  mkdirSync(join(directory, "lib"));
  writeFileSync(join(directory, "tsconfig.json"), '{ "compilerOptions": { "strict": true, "types": [] }, "include": ["lib"] }');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const page = (): string => join(directory, "docs", "reference", "README.md");

function make(source: string, ...options: string[]) {
  writeFileSync(join(directory, "lib", "index.ts"), source);
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(packageRoot, "scripts", "docs.mjs"), ...options, directory], {
    encoding: "utf8",
  });
  return { status, output: stdout + stderr };
}

const documented = "/** The number of classes. */\nexport const classes = 10;\n";

test("what is documented becomes a page, which is current until its docstring changes; what is internal is left out", () => {
  expect(make(`${documented}/** @internal */\nexport const hidden = 1;\n`)).toMatchObject({ status: 0 });
  expect(readFileSync(page(), "utf8")).toContain("The number of classes.");
  expect(readFileSync(page(), "utf8")).not.toContain("hidden");
  expect(make(documented, "--check")).toMatchObject({ status: 0 });
  const changed = make(documented.replace("number", "count"), "--check");
  expect(changed).toMatchObject({ status: 1, output: expect.stringContaining("run npm run docs: README.md") });
}, 120_000);

test("an export or a property without a docstring fails, and a link to nothing", () => {
  const source = `
    export const seed = 1;
    /** Options. See {@link nowhere}. */
    export interface Options { batchSize: number }`;
  const { status, output } = make(source);
  expect(status).toBe(1);
  for (const fault of ["seed (Variable)", "Options.batchSize (Property)", "nowhere"]) expect(output).toContain(fault);
}, 120_000);
