// Writes lib/scores/all.ts, the list of the files in lib/scores/definitions/: a score is there because its file is. A static list, so that bundlers
// and Electron's archives find every file. With --check it writes nothing, and fails where the list is not what it would write.

import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** The text of the list, scores in alphabetical order. */
function scoreIndex(directory) {
  const names = fs
    .readdirSync(path.join(directory, "definitions"))
    .filter((file) => file.endsWith(".ts"))
    .map((file) => path.basename(file, ".ts"))
    .sort();
  const constant = (name) => name.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
  return [
    "// Every score there is. Written by scripts/score-index.mjs from the files in definitions/ whenever lib/ is compiled or tested.",
    "",
    ...names.map((name) => `export { ${constant(name)} } from "./definitions/${name}";`),
    "",
  ].join("\n");
}

/** Brings the list up to date; a list that is stays untouched. */
export default function writeScoreIndex() {
  const directory = path.join(root, "lib", "scores");
  const file = path.join(directory, "all.ts");
  const text = scoreIndex(directory);
  if (fs.existsSync(file) && fs.readFileSync(file, "utf8") === text) return;
  const temporary = `${file}.${process.pid}`;
  fs.writeFileSync(temporary, text);
  fs.renameSync(temporary, file);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (!process.argv.includes("--check")) writeScoreIndex();
  else {
    const directory = path.join(root, "lib", "scores");
    if (fs.readFileSync(path.join(directory, "all.ts"), "utf8") !== scoreIndex(directory)) {
      console.error("lib/scores/all.ts: not the list of lib/scores/definitions/; npm run build:ts writes it");
      process.exitCode = 1;
    }
  }
}
