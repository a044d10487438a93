// Removes from an installed PyTorch what a C++ program does not use: 180 MB of Python and tests, and libtorch_cuda where
// the libraries of NVIDIA that it needs are not there.

import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

/** `directory` holds `torch/` and perhaps `nvidia/`; licences (in `*.dist-info`) stay. */
export function prune(directory: string, keepCuda: boolean): void {
  keepOnly(directory, (name) => /^(torch|torch\.libs|nvidia|torch-.*\.dist-info|nvidia_.*\.dist-info)$/.test(name));
  keepOnly(join(directory, "torch"), (name) => ["include", "lib", "version.py"].includes(name));
  const unused = /^libtorch_python|^libshm|test\.|^libaoti_custom_ops|^libbackend_with_compiler/;
  const cuda = /^lib(torch_cuda|torch_nvshmem|c10_cuda|caffe2_nvrtc)/;
  keepOnly(join(directory, "torch", "lib"), (name) => !unused.test(name) && (keepCuda || !cuda.test(name)));
  for (const name of list(join(directory, "nvidia"))) keepOnly(join(directory, "nvidia", name), (part) => part === "lib");
}

function keepOnly(directory: string, keep: (name: string) => boolean): void {
  for (const name of list(directory)) {
    if (!keep(name)) rmSync(join(directory, name), { recursive: true, force: true });
  }
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
