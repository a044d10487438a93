// `npm run docs [-- --check] [DIRECTORY]`: docs/reference from the docstrings of what the package exports, one page for each class and namespace. With --check nothing is
// written: it fails where the committed pages are not those that the docstrings make. An export without a docstring fails in either case,
// and so does a link in one that leads nowhere.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Application } from "typedoc";

const { values, positionals } = parseArgs({ options: { check: { type: "boolean", default: false } }, allowPositionals: true });
const root = path.resolve(positionals[0] ?? path.dirname(path.dirname(fileURLToPath(import.meta.url))));
const reference = path.join(root, "docs", "reference");
/** What the package exports: its root, and libtorch-ood/experiments. */
const entryPoints = ["lib/index.ts", "lib/experiment/index.ts"].map((file) => path.join(root, file)).filter((file) => fs.existsSync(file));

const made = fs.mkdtempSync(path.join(os.tmpdir(), "libtorch-ood-reference-"));
try {
  await makeReference(made);
  const stale = differences(made, reference);
  if (values.check && stale.length > 0) {
    console.error(`docs/reference: not what the docstrings make, run npm run docs: ${stale.join(", ")}`);
    process.exitCode = 1;
  }
  if (!values.check) {
    fs.rmSync(reference, { recursive: true, force: true });
    fs.cpSync(made, reference, { recursive: true });
  }
} finally {
  fs.rmSync(made, { recursive: true, force: true });
}

async function makeReference(directory) {
  const application = await Application.bootstrapWithPlugins({
    entryPoints,
    tsconfig: path.join(root, "tsconfig.json"),
    plugin: [fileURLToPath(import.meta.resolve("typedoc-plugin-markdown"))],
    outputs: [{ name: "markdown", path: directory }],
    name: "Reference",
    readme: "none",
    excludeInternal: true,
    excludePrivate: true,
    excludeProtected: true,
    excludeExternals: true,
    disableSources: true, // lines move: the pages would be out of date after any change
    requiredToBeDocumented: ["Class", "Interface", "Function", "Method", "Property", "Variable", "TypeAlias", "Accessor", "Constructor"],
    validation: { notDocumented: true, notExported: false, invalidLink: true },
    // One page for each class and namespace; types and functions stand on the page of theirs.
    membersWithOwnFile: ["Class"],
    flattenOutputFiles: true,
    hideBreadcrumbs: true,
    hidePageHeader: true,
  });
  const project = await application.convert();
  if (project === undefined) throw new Error("the sources do not compile");
  application.validate(project);
  const { errorCount, warningCount } = application.logger;
  if (errorCount + warningCount > 0) {
    console.error(`docs/reference: ${errorCount + warningCount} faults in docstrings, above`);
    process.exitCode = 1;
  }
  await application.generateOutputs(project);
}

/** Names of files that only one of two folders has, or that differ. */
function differences(one, other) {
  const contents = (folder) => {
    const names = fs.existsSync(folder) ? fs.readdirSync(folder, { recursive: true }) : [];
    const files = names.filter((name) => fs.statSync(path.join(folder, name)).isFile());
    return new Map(files.map((name) => [name, fs.readFileSync(path.join(folder, name), "utf8")]));
  };
  const [first, second] = [contents(one), contents(other)];
  return [...new Set([...first.keys(), ...second.keys()])].filter((name) => first.get(name) !== second.get(name)).sort();
}
