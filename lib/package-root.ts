// The directory and version of the package: the same whether this runs from lib/ (tests) or from dist/ (published).

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

export const packageRoot = dirname(__dirname);

export function packageVersion(): string {
  return (JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")) as { version: string }).version;
}
