// Explains, from the dynamic linker's message, which C or C++ library of this system is missing or too old.

interface Report {
  header: { glibcVersionRuntime?: string };
}

/** The version of glibc; empty where there is none (musl, macOS, Windows). */
export function glibcVersion(): string {
  if (process.platform !== "linux") return "";
  const { header } = process.report.getReport() as unknown as Report;
  return header.glibcVersionRuntime ?? "";
}

/**
 * Why a library of ours cannot be loaded on this system, with what fixes it; undefined where the message tells of something
 * else.
 *
 * @param message What dlopen said.
 * @param glibc The version of glibc in this process, for tests.
 */
export function systemProblem(message: string, glibc: string = glibcVersion()): string | undefined {
  const [, family, version] = /version [`'"](GLIBC|GLIBCXX|CXXABI)_([\d.]+)['"`] not found/.exec(message) ?? [];
  if (family === "GLIBC") {
    return `This system is too old for it: glibc ${version} is needed, and here is ${glibc === "" ? "none" : `glibc ${glibc}`}. ${newer}`;
  }
  if (family !== undefined) {
    return `This system's libstdc++ is too old for it: ${family}_${version} is needed. Update the package libstdc++6. ${newer}`;
  }
  if (/failed to map segment|cannot allocate memory/i.test(message)) {
    return "Either memory is lacking (ulimit -v, the limit of a container), or the file lies on a file system that is mounted with noexec.";
  }
  if (process.platform === "linux" && glibc === "") {
    return "This system has another C library than glibc (Alpine has musl), and libtorch is made for glibc only. Use an image such as node:22-slim.";
  }
  return undefined;
}

const newer = "Debian 10, Ubuntu 20.04, RHEL 8 and newer ones are new enough.";
