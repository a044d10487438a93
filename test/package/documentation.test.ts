// The code in README.md and docs/ against the declarations: every name, option and result that it uses is there. The blocks of a page are read as one
// module, with what they leave out to import; the example of a docstring is a module by itself. Names that a page leaves to its reader (`photos`)
// may be unknown, and a page may show two ways to make one thing.

import fs from "node:fs";
import path from "node:path";
import ts from "typescript";
import { packageRoot } from "../../lib/core/package-root";
import * as library from "../../lib";

const docs = fs.readdirSync(path.join(packageRoot, "docs"), { recursive: true, encoding: "utf8" }).map((name) => `docs/${name}`);
const pages = ["README.md", ...docs].filter(
  // Electron's guide needs Electron's own declarations; examples/electron is checked with stand-ins.
  (name) => name.endsWith(".md") && name !== "docs/guide/electron.md" && !name.startsWith("docs/reference/"),
);

function blocksOf(page: string, language = "js"): string[] {
  const text = fs.readFileSync(path.join(packageRoot, page), "utf8");
  return [...text.matchAll(/^```(\w+)\n([^]*?)^```$/gm)].flatMap(([, of, code]) => (of === language ? [code as string] : []));
}

/** One module of all blocks: each name is imported once, the library's also where a block does not say so. */
function moduleOf(blocks: readonly string[]): string {
  const importing = /^import [^;]*;$/gm;
  const imports = new Set(blocks.flatMap((code) => code.match(importing) ?? []).filter((line) => !line.includes('"libtorch-ood"')));
  const code = blocks.map((block) => block.replace(importing, "")).join("\n");
  const names = Object.keys(library).filter((name) => new RegExp(`\\b${name}\\b`).test(code));
  return [`import { ${names.join(", ")} } from "libtorch-ood";`, ...imports, code].join("\n");
}

const undeclared = [2304, 2552, 2582, 2593, 18004];
const redeclared = 2451;

/** What the compiler has to say of modules in the root of the package, but for names that are declared nowhere or twice. */
function complaintsOf(modules: ReadonlyMap<string, string>): Map<string, string[]> {
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.Node16,
    moduleResolution: ts.ModuleResolutionKind.Node16,
    types: ["node"],
    strict: true,
    noImplicitAny: false,
    strictNullChecks: false, // as JavaScript is written
    skipLibCheck: true,
    noEmit: true,
  };
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (name) => modules.has(name) || fileExists(name);
  host.readFile = (name) => modules.get(name) ?? readFile(name);
  host.getSourceFile = (name, version, ...rest) => {
    const code = modules.get(name);
    return code === undefined ? getSourceFile(name, version, ...rest) : ts.createSourceFile(name, code, version);
  };
  const program = ts.createProgram([...modules.keys()], options, host);
  return new Map(
    [...modules.keys()].map((name) => [
      name,
      ts
        .getPreEmitDiagnostics(program, program.getSourceFile(name))
        .filter(({ code }) => ![...undeclared, redeclared].includes(code))
        .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n")),
    ]),
  );
}

const fileOf = (page: string) => path.join(packageRoot, `${page.replaceAll("/", "-")}.mts`);

test("every example type-checks", () => {
  const modules = new Map(pages.flatMap((page) => (blocksOf(page).length > 0 ? [[fileOf(page), moduleOf(blocksOf(page))]] : [])));
  expect(modules.size).toBeGreaterThan(3);
  expect([...complaintsOf(modules)].filter(([, complaints]) => complaints.length > 0)).toEqual([]);
});

test("every example of a docstring type-checks by itself", () => {
  const reference = docs.filter((name) => name.startsWith("docs/reference/"));
  const examples = reference.flatMap((page) => blocksOf(page, "ts").map((code, i) => [fileOf(`${page}-${i}`), moduleOf([code])] as const));
  expect(examples.length).toBeGreaterThan(20);
  expect([...complaintsOf(new Map(examples))].filter(([, complaints]) => complaints.length > 0)).toEqual([]);
});

test.each([
  ["a name that is not exported", 'import { Detektor } from "libtorch-ood"; Detektor;'],
  ["an option that is not there", 'import { ResNet } from "libtorch-ood"; await ResNet.create({ depth: 18, numClasses: 10, sed: 1 });'],
  ["a result that is not there", 'import { metrics } from "libtorch-ood"; metrics.auroc([1], [0]).value;'],
])("the check notices %s", (_, code) => {
  const name = fileOf("wrong");
  expect(complaintsOf(new Map([[name, code]])).get(name)).toHaveLength(1);
});
