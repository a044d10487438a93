// Lists the scores, compiles lib/ into dist/ (CommonJS with declarations), and makes index.mjs and index.d.mts of each entry of the package, which
// re-export its index.js name by name: `import` and `require` share one copy of every class.

import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import writeScoreIndex from "./score-index.mjs";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const dist = path.join(root, "dist");
// The package itself, and libtorch-ood/experiments.
const entries = ["index.ts", "experiment/index.ts"].map((name) => path.join(root, "lib", name));

writeScoreIndex();
const { options, fileNames } = configuration();
const program = ts.createProgram(fileNames, options);
const emitted = program.emit();
const diagnostics = [...ts.getPreEmitDiagnostics(program), ...emitted.diagnostics];
if (diagnostics.length > 0) {
  const host = { getCanonicalFileName: (name) => name, getCurrentDirectory: () => root, getNewLine: () => "\n" };
  console.error(ts.formatDiagnostics(diagnostics, host));
}
removeOrphans(dist);
for (const entry of entries) if (fileNames.some((name) => path.resolve(name) === entry)) writeModuleEntry(entry);
process.exitCode = diagnostics.some(({ category }) => category === ts.DiagnosticCategory.Error) ? 1 : 0;

function configuration() {
  const file = path.join(root, "tsconfig.json");
  return ts.parseJsonConfigFileContent(ts.readConfigFile(file, ts.sys.readFile).config, ts.sys, root);
}

// What was compiled from a source that is gone would be published otherwise.
function removeOrphans(directory) {
  for (const item of fs.readdirSync(directory, { withFileTypes: true, recursive: true })) {
    const found = path.join(item.parentPath ?? item.path, item.name);
    const source = path.join(root, "lib", path.relative(directory, found).replace(/(\.d\.m?ts|\.m?js)$/, ".ts"));
    if (item.isFile() && !fs.existsSync(source)) fs.rmSync(found);
  }
}

function writeModuleEntry(entry) {
  const checker = program.getTypeChecker();
  const symbols = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(entry)));
  const isValue = (symbol) => {
    const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
    return (target.flags & ts.SymbolFlags.Value) !== 0 && !isTypeOnly(symbol);
  };
  const names = symbols.filter(isValue).map((symbol) => symbol.getName());
  const lines = names.sort().map((name) => `export const ${name} = library.${name};`);
  const folder = path.join(dist, path.dirname(path.relative(path.join(root, "lib"), entry)));
  fs.writeFileSync(path.join(folder, "index.mjs"), `import library from "./index.js";\n${lines.join("\n")}\n`);
  fs.writeFileSync(path.join(folder, "index.d.mts"), `export * from "./index.js";\n`);
}

function isTypeOnly(symbol) {
  return (symbol.declarations ?? []).some((declaration) => ts.isTypeOnlyImportOrExportDeclaration(declaration));
}
