// Reads what a directory says about the libtorch in it, from its files alone: nothing is loaded and Python is not run.

import { existsSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";

/** A directory with `lib/` (and `include/` where it can be compiled against), as a wheel or libtorch's zip lays it out. */
export interface TorchDirectory {
  /** Absolute path of the directory that holds `lib/`. */
  readonly directory: string;
  /** As the directory states it, with its local part: "2.13.0+cpu". */
  readonly version: string;
  /** The CUDA version that it was built with ("13.0"), or null for a CPU build. */
  readonly cuda: string | null;
  /** Whether the headers are there too. */
  readonly headers: boolean;
}

/** The file name of a shared library of libtorch on this platform: "libc10.so", "libc10.dylib". */
export function libraryFile(name: string, platform: NodeJS.Platform = process.platform): string {
  if (platform === "win32") return `${name}.dll`;
  return platform === "darwin" ? `lib${name}.dylib` : `lib${name}.so`;
}

/**
 * Reads `directory`, or `directory/torch` where that is the one with a `lib/` (site-packages, a cache entry).
 *
 * @returns the directory's facts, or the reason why it is none.
 */
export function readTorchDirectory(directory: string): TorchDirectory | { readonly problem: string } {
  if (!existsSync(directory)) return { problem: "no such directory" };
  const root = [directory, join(directory, "torch")]
    .map((path) => resolve(path))
    .find((path) => existsSync(join(path, "lib", libraryFile("torch_cpu"))));
  if (root === undefined) {
    const expected = join("lib", libraryFile("torch_cpu"));
    return {
      problem: basename(directory) === "torch" ? `no ${expected} in it` : `neither ${expected} nor ${join("torch", expected)} in it`,
    };
  }
  const stated = statedVersion(root);
  if (stated === undefined) return { problem: "neither version.py nor build-version states a version" };
  return { directory: root, ...stated, headers: existsSync(join(root, "include", "ATen", "ATen.h")) };
}

function statedVersion(root: string): { version: string; cuda: string | null } | undefined {
  const python = readText(join(root, "version.py"));
  const version = python && /^__version__\s*=\s*'([^']+)'/m.exec(python)?.[1];
  if (python && version) return { version, cuda: /^cuda\b[^=]*=\s*'([^']+)'/m.exec(python)?.[1] ?? null };
  const plain = readText(join(root, "build-version"))?.trim();
  if (!plain) return undefined;
  const cuda = /\+cu(\d+)(\d)$/.exec(plain);
  return { version: plain, cuda: cuda ? `${cuda[1]}.${cuda[2]}` : null };
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
