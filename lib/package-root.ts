// The directory of the package: the same whether this runs from lib/ (tests) or from dist/ (published).

import { dirname } from "node:path";

export const packageRoot = dirname(__dirname);
