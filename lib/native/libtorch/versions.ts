// Which libtorch this library is made for, and where PyTorch publishes builds of it without CUDA.

/** The version that `setup` fetches unless told otherwise. */
export const pinnedVersion = "2.13.0";

/** The minors that the native sources compile against. There is no C++ ABI across them, so a binary serves one only. */
export const supportedMinors: readonly string[] = ["2.11", "2.12", "2.13", "2.14"];

/** PyTorch's own public index of CPU builds; `LIBTORCH_OOD_INDEX` overrides it. */
export const cpuIndex = "https://download.pytorch.org/whl/cpu";

/** "2.13" of "2.13.0+cpu"; undefined where the text is not a version. */
export function minorOf(version: string): string | undefined {
  return /^(\d+\.\d+)(?:\D|$)/.exec(version)?.[1];
}
