// Says which places were searched for libtorch and why none served, and makes the error from that.

import { LibtorchOodError } from "../../core/errors";
import { runtimePackage, type Attempt, type Discovery } from "./discover";
import { minorOf, pinnedVersion } from "./versions";

/** One line for each place: what named it, the path, and the reason why it does not serve. */
export function describeAttempts(attempts: readonly Attempt[]): string {
  const width = Math.max(...attempts.map(({ source }) => source.length));
  return attempts
    .map(({ source, path, torch, problem }) => {
      const outcome = problem ?? (torch ? `libtorch ${torch.version}` : "");
      const found = `${path === undefined ? "" : `${path}: `}${outcome}`;
      return `  ${source.padEnd(width)}  ${found.replace(/[\r\n]/g, (end) => JSON.stringify(end).slice(1, -1))}`; // a path may hold line ends
    })
    .join("\n");
}

/**
 * The error for a discovery that has chosen nothing: `ERR_LIBTORCH_VERSION` where libtorch is there in another version
 * only, else `ERR_LIBTORCH_NOT_FOUND`.
 */
export function discoveryError({ attempts }: Discovery, builtFor: string): LibtorchOodError {
  const version = builtFor.replace(/\+.*/, "");
  // The package is published for the pinned minor; its third number is its own.
  const packaged = minorOf(version) === minorOf(pinnedVersion) ? `, or: npm install ${runtimePackage}@~${minorOf(version)}` : "";
  const tried = `Tried, in order:\n${describeAttempts(attempts)}\nTo fix it, run: npx libtorch-ood setup --version ${version}${packaged}`;
  if (attempts.some(({ torch }) => torch !== undefined)) {
    const reason = `the addon was built for libtorch ${builtFor}, and libtorch keeps no C++ ABI from one minor version to the next.`;
    return new LibtorchOodError("ERR_LIBTORCH_VERSION", `No libtorch of a fitting version: ${reason} ${tried}`);
  }
  return new LibtorchOodError("ERR_LIBTORCH_NOT_FOUND", `No libtorch was found (version ${version} is needed). ${tried}`);
}
