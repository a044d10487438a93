// A directory that lasts as long as the tests of one file.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface TemporaryDirectory {
  path: (name: string) => string;
  /** Writes a file and gives its path. */
  put: (name: string, content: Uint8Array | string) => string;
}

export function temporaryDirectory(): TemporaryDirectory {
  const root = mkdtempSync(join(tmpdir(), "libtorch-ood-test-"));
  afterAll(() => rmSync(root, { recursive: true }));
  const path = (name: string): string => join(root, name);
  return {
    path,
    put: (name, content) => {
      writeFileSync(path(name), content);
      return path(name);
    },
  };
}
