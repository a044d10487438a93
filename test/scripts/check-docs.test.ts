// scripts/check-docs.mjs: the rules for the Markdown pages.

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { packageRoot } from "../../lib/core/package-root";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "pages-"));
  plant("README.md", "# Library\n\n[Install](docs/guide/install.md)\n");
  plant("docs/guide/install.md", "# Install\n\n## By npm\n\nText.\n");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function plant(page: string, text: string): void {
  mkdirSync(join(directory, dirname(page)), { recursive: true });
  writeFileSync(join(directory, page), text);
}

function check(...directories: string[]) {
  const { status, stderr } = spawnSync(process.execPath, [join(packageRoot, "scripts", "check-docs.mjs"), ...directories], {
    encoding: "utf8",
  });
  return { status, faults: stderr.split("\n").filter(Boolean) };
}

test("the pages of the repository keep the rules", () => {
  expect(check()).toEqual({ status: 0, faults: [] });
});

const words = (count: number): string => "word\n".repeat(count);

test.each([
  ["docs/guide/install.md", words(701), "docs/guide/install.md: expected at most 700 words outside of code blocks, found 701"],
  ["docs/guide/hidden.md", "# Hidden\n", "docs/guide/hidden.md: neither README.md nor another guide leads to it"],
  ["docs/guide/hidden.md", "[itself](hidden.md)\n", "docs/guide/hidden.md: neither README.md nor another guide leads to it"],
  ["docs/design/files.md", `# Files\n\n${"x".repeat(121)}\n`, "docs/design/files.md:3: expected at most 120 characters, found 121"],
  ["CHANGELOG.md", `- ${"é".repeat(119)}\n`, "CHANGELOG.md:1: expected at most 120 characters, found 121"],
  ["docs/design/files.md", "[gone](../gone.md)\n", "docs/design/files.md:1: ../gone.md leads to no file"],
  [
    "docs/design/files.md",
    "[install](../guide/install.md#by-yarn)\n",
    "docs/design/files.md:1: ../guide/install.md#by-yarn leads to no heading of docs/guide/install.md",
  ],
  ["docs/design/files.md", "[here](#nowhere)\n", "docs/design/files.md:1: #nowhere leads to no heading of docs/design/files.md"],
])("a fault planted in %s is named", (page, text, fault) => {
  plant(page, text);
  expect(check(directory)).toEqual({ status: 1, faults: [fault] });
});

test.each([
  ["700 words, and more of them in code", "docs/guide/install.md", `${words(700)}\n\`\`\`js\n${words(100)}\`\`\`\n\n    indented code\n`],
  [
    "700 words, and more of them in made tables",
    "docs/guide/install.md",
    `${words(700)}\n<!-- a: begin -->\n${words(100)}<!-- a: end -->\n`,
  ],
  ["120 characters", "docs/design/files.md", `${"é".repeat(120)}\n`],
  ["long lines of tables that a script makes", "docs/a.md", `<!-- table a/b: begin -->\n${"x".repeat(200)}\n<!-- table a/b: end -->\n`],
  ["long lines of the reference", "docs/reference/README.md", `${"x".repeat(200)}\n`],
  ["links to headings", "docs/a.md", "[install](guide/install.md#by-npm)\n"],
  ["links in code", "docs/a.md", "```md\n[gone](gone.md)\n```\n\n    [gone](gone.md)\n"],
  ["addresses", "docs/a.md", "[site](https://example.org/gone.md)\n"],
])("%s pass", (_, page, text) => {
  plant(page, text);
  expect(check(directory)).toEqual({ status: 0, faults: [] });
});
