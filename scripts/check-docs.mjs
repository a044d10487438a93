// Rules for the Markdown pages, printed one line for each breach:
//   a guide has at most 700 words, code blocks and tables that a script makes not counted, and README or another guide leads to it;
//   a line has at most 120 characters, but for tables that a script makes (between markers), the reference and the reports of experiments;
//   every relative link leads to a file, and to a heading of it where it names one.
//
//   node scripts/check-docs.mjs [DIRECTORY]    (the repository by default)

import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const mostWords = 700;
const mostCharacters = 120;
const folders = ["docs", "bench", "examples", "packages"];
/** Written by scripts: their lines are as long as they get. */
const generated = ["docs/reference/", "docs/results/reproduction/"];

const root = path.resolve(process.argv[2] ?? path.dirname(path.dirname(fileURLToPath(import.meta.url))));
const pages = new Map(markdownFiles().map((page) => [page, fs.readFileSync(path.join(root, page), "utf8").split("\n")]));
const guides = [...pages.keys()].filter((page) => page.startsWith("docs/guide/"));
const linked = new Set(["README.md", ...guides].flatMap((page) => linksOf(page).flatMap(({ file }) => (file === page ? [] : [file]))));

const faults = [...[...pages.keys()].flatMap((page) => [...longLines(page), ...deadLinks(page)]), ...guides.flatMap(faultsOfGuide)];
for (const fault of faults) console.error(fault);
process.exitCode = faults.length > 0 ? 1 : 0;

function faultsOfGuide(page) {
  const words = withoutMade(withoutCode(pages.get(page)))
    .join(" ")
    .split(/\s+/)
    .filter((word) => /[\p{L}\p{N}]/u.test(word)).length;
  return [
    ...(words > mostWords ? [`${page}: expected at most ${mostWords} words outside of code blocks, found ${words}`] : []),
    ...(linked.has(page) ? [] : [`${page}: neither README.md nor another guide leads to it`]),
  ];
}

function longLines(page) {
  if (generated.some((folder) => page.startsWith(folder))) return [];
  return withoutMade(pages.get(page)).flatMap((line, index) => {
    const length = [...line.replace(/\p{M}/gu, "")].length; // a letter and its accents are one character
    return length <= mostCharacters ? [] : [`${page}:${index + 1}: expected at most ${mostCharacters} characters, found ${length}`];
  });
}

function deadLinks(page) {
  return linksOf(page).flatMap(({ line, target, file, anchor }) => {
    if (!fs.existsSync(path.join(root, file))) return [`${page}:${line}: ${target} leads to no file`];
    const isText = pages.has(file) && !generated.some((folder) => file.startsWith(folder));
    if (anchor === undefined || !isText || headingsOf(file).has(anchor)) return [];
    return [`${page}:${line}: ${target} leads to no heading of ${file}`];
  });
}

/** The relative links of a page: `{ line, target, file, anchor }`, the file from the root. */
function linksOf(page) {
  return withoutCode(pages.get(page)).flatMap((text, index) =>
    [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target]) => {
      if (/^[a-z]+:/.test(target)) return [];
      const [file, anchor] = target.split("#");
      return { line: index + 1, target, anchor, file: file === "" ? page : path.posix.join(path.posix.dirname(page), decodeURI(file)) };
    }),
  );
}

/** The anchors that GitHub gives to the headings of a page. */
function headingsOf(page) {
  const headings = withoutCode(pages.get(page)).flatMap((line) => line.match(/^#+ (.*)$/)?.[1] ?? []);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, "")
        .replaceAll(" ", "-"),
    ),
  );
}

/** The lines with those between the markers of a script empty, and the markers. */
function withoutMade(lines) {
  let made = false;
  return lines.map((line) => {
    const marker = /^<!-- .*: (begin|end) -->$/.exec(line);
    if (marker !== null) made = marker[1] === "begin";
    return made || marker !== null ? "" : line;
  });
}

/** The lines with those of code blocks, fenced or indented, empty. */
function withoutCode(lines) {
  let fence = false;
  let code = false;
  return lines.map((line, index) => {
    if (/^\s*```/.test(line)) {
      fence = !fence;
      return "";
    }
    // Four spaces begin a block after an empty line, two more within a list.
    const before = lines.slice(0, index).findLast((other) => other.trim() !== "");
    const indent = /^(- | {2}\S)/.test(before ?? "") ? 6 : 4;
    code = /^ {4}/.test(line) && (code || (lines[index - 1]?.trim() === "" && line.search(/\S/) >= indent));
    return fence || code ? "" : line;
  });
}

function markdownFiles() {
  const top = fs.readdirSync(root).filter((name) => name.endsWith(".md"));
  const inside = folders.filter((folder) => fs.existsSync(path.join(root, folder))).flatMap((folder) => below(folder));
  return [...top, ...inside].sort();
}

function below(folder) {
  return fs.readdirSync(path.join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return entry.name === "node_modules" ? [] : below(name);
    return entry.name.endsWith(".md") ? [name] : [];
  });
}
