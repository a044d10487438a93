// The links of README and docs: each leads to a file, in a clone as it is, in the published package after scripts/packed-links.mjs.

import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { pathToFileURL } from "node:url";
import { packageRoot } from "../../lib/core/package-root";

const { files } = JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")) as { files: string[] };
const packed = [...files, "README.md", "LICENSE", "package.json"];
const isPacked = (file: string): boolean => {
  const inside = (name: string): boolean => file === name || file.startsWith(`${name}/`);
  return packed.some(inside) && !packed.some((name) => name.startsWith("!") && inside(name.slice(1)));
};
const docs = readdirSync(join(packageRoot, "docs"), { recursive: true, encoding: "utf8" }).map((name) => `docs/${name}`);
const pages = ["README.md", "SECURITY.md", "CHANGELOG.md", ...docs.filter((name) => name.endsWith(".md") && isPacked(name))];
const base = "https://example.org/blob/v1";

const read = (page: string): string => readFileSync(join(packageRoot, page), "utf8");

/** Where relative links lead, from the root. */
function targets(text: string, page: string): string[] {
  const links = [...text.matchAll(/\]\(([^)\s#]+)(#[^)\s]*)?\)/g)].map(([, target]) => target!);
  return links.filter((target) => !/^[a-z]+:/.test(target)).map((target) => normalize(join(dirname(page), target)));
}

function rewritten(): Record<string, string> {
  const program = `
    import { readFileSync } from "node:fs";
    import { withPackedLinks } from ${JSON.stringify(pathToFileURL(join(packageRoot, "scripts", "packed-links.mjs")).href)};
    const packed = new Set(${JSON.stringify(pages.flatMap((page) => targets(read(page), page)).filter(isPacked))});
    const text = (page) => withPackedLinks(readFileSync(page, "utf8"), page, (file) => packed.has(file), "${base}");
    console.log(JSON.stringify(Object.fromEntries(${JSON.stringify(pages)}.map((page) => [page, text(page)]))));`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
    cwd: packageRoot,
    encoding: "utf8",
    maxBuffer: 2 ** 26,
  });
  if (stderr !== "") throw new Error(stderr);
  return JSON.parse(stdout) as Record<string, string>;
}

test.each(pages)("%s: every relative link leads to a file of the repository", (page) => {
  for (const target of targets(read(page), page)) expect([target, existsSync(join(packageRoot, target))]).toEqual([target, true]);
});

test("in the package: relative links lead to what it holds, the others to the repository", () => {
  const texts = rewritten();
  for (const page of pages)
    for (const target of targets(texts[page]!, page)) expect([page, target, isPacked(target)]).toEqual([page, target, true]);
  expect(texts["docs/guide/serving.md"]).toContain(`](${base}/examples/server/server.mjs)`);
  expect(texts["docs/results/reproduction.md"]).toContain(`](${base}/docs/results/reproduction/15000-images/report.md)`);
  expect(texts["README.md"]).toContain(`](${base}/examples/data/README.md)`);
  expect(texts["README.md"]).toContain("](docs/guide/install.md)");
});
