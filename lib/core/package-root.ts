// The directory and version of the package, the same whether this runs from lib/ (tests) or from dist/ (published).

import { dirname } from "node:path";

export const packageRoot = dirname(dirname(__dirname));

// By a literal name, which bundlers put into the bundle: there the directory above is another package's.
// eslint-disable-next-line @typescript-eslint/no-require-imports
const manifest = require("../../package.json") as { readonly name: string; readonly version: string };

export function packageVersion(): string {
  return manifest.version;
}
