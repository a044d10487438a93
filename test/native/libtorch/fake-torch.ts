// Directory trees that look like a libtorch to discovery, which reads files and loads nothing.

import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { libraryFile } from "../../../lib/native/libtorch/torch-directory";

export interface FakeTorch {
  version?: string;
  cuda?: string;
  headers?: boolean;
  /** As libtorch's zip has it: build-version instead of version.py. */
  zip?: boolean;
}

/** Makes `directory` a torch directory and returns it. */
export function fakeTorch(directory: string, { version = "2.13.0+cpu", cuda, headers = true, zip = false }: FakeTorch = {}): string {
  write(join(directory, "lib", libraryFile("torch_cpu")), "");
  if (headers) write(join(directory, "include", "ATen", "ATen.h"), "");
  if (zip) {
    write(join(directory, "build-version"), `${version}\n`);
  } else {
    const lines = ["from typing import Optional", `__version__ = '${version}'`, `cuda: Optional[str] = ${cuda ? `'${cuda}'` : "None"}`];
    write(join(directory, "version.py"), lines.join("\n"));
  }
  return directory;
}

export function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
