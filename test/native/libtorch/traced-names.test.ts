// The names that tools follow which copy only what a program names: those of every platform that packages are made for.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../../lib/core/package-root";
import { tracedDirectories } from "../../../lib/native/libtorch/traced-names";

test("the packages of every platform, where package managers put them: beside this one", () => {
  const platforms = JSON.parse(readFileSync(join(packageRoot, "packages", "platforms.json"), "utf8")) as { name: string }[];
  const expected = ["addon", "libtorch"].flatMap((kind) => platforms.map(({ name }) => `@libtorch-ood/${kind}-${name}`));
  expect(tracedDirectories).toEqual(expected.map((name) => join(packageRoot, "..", name)));
  // Literal names behind __dirname: what is computed no tracer follows.
  const source = readFileSync(join(packageRoot, "lib", "native", "libtorch", "traced-names.ts"), "utf8");
  for (const name of expected) expect(source).toContain(`join(__dirname, "../../../../${name}")`);
});
