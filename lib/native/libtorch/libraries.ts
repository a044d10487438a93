// Which shared libraries of a libtorch are opened, in which order, before the addon.

import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { libraryFile, type TorchDirectory } from "./torch-directory";

export interface Libraries {
  /** Needed on the CPU too; each must open, in this order. */
  readonly required: readonly string[];
  /** NVIDIA's libraries, in no order: some need others of them, and some need not be there. */
  readonly nvidia: readonly string[];
  /** PyTorch's own CUDA libraries, in this order, after the others. Empty for a CPU build. */
  readonly cuda: readonly string[];
}

/** The paths for one libtorch; NVIDIA's libraries are those in `lib/` or in the `nvidia` packages beside `torch`. */
export function librariesOf({ directory, cuda }: TorchDirectory): Libraries {
  const lib = join(directory, "lib");
  const own = (name: string) => join(lib, libraryFile(name));
  const torch = [own("c10"), own("torch_cpu")];
  if (cuda === null) return { required: torch, nvidia: [], cuda: [] };
  const nvidia = [lib, ...nvidiaPackages(dirname(directory))].flatMap(nvidiaLibraries);
  // libtorch_cpu of a CUDA build needs these two even where there is no GPU.
  const runtime = nvidia.filter((path) => /\/lib(cudart|cupti)[-.]/.test(path));
  return {
    required: [...runtime, ...torch],
    nvidia: nvidia.filter((path) => !runtime.includes(path)),
    cuda: [own("c10_cuda"), own("torch_cuda")].filter((path) => existsSync(path)),
  };
}

function nvidiaPackages(sitePackages: string): string[] {
  const nvidia = join(sitePackages, "nvidia");
  return list(nvidia).map((name) => join(nvidia, name, "lib"));
}

// "libcublas.so.13"; libraries that others open for themselves when they need them (cuDNN's engines) open here as well.
function nvidiaLibraries(lib: string): string[] {
  const families = /^lib(cu[a-z]+|nv[a-zA-Z]+|nccl)[^/]*\.so(\.\d+)*$/;
  return list(lib)
    .filter((name) => families.test(name))
    .map((name) => join(lib, name));
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return [];
  }
}
