// Paths in Electron's archive. Electron packs a program into app.asar, whose files JavaScript alone can read. Files that the system has to open lie
// under the same name in app.asar.unpacked beside it.

import { existsSync } from "node:fs";

/** The end of an archive's name inside a path; not that of `app.asar.unpacked`. */
const archiveName = /\.asar(?=[\\/])/gi;

/** The path that the system can open: in `app.asar.unpacked` for one in `app.asar`, where that is there; else the path itself. */
export function unpacked(path: string): string {
  const beside = path.replace(archiveName, "$&.unpacked");
  return beside !== path && existsSync(beside) ? beside : path;
}

/** Why the system cannot open a path that lies in an archive, with what fixes it; undefined for a path that does not. */
export function archiveProblem(path: string): string | undefined {
  const [end] = [...path.matchAll(archiveName)];
  if (end === undefined) return undefined;
  const archive = path.slice(0, end.index + end[0].length);
  const remedy =
    'have the packages unpacked: asarUnpack: ["node_modules/@libtorch-ood/**"] of electron-builder, see docs/guide/electron.md';
  return `It lies in the archive ${archive}, from which the system loads no library; ${remedy}.`;
}
