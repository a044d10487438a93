// The findings of `libtorch-ood doctor` about this machine: whether the addon loads, with which libtorch, and if not, why.

import { LibtorchOodError } from "../../core/errors";
import { addonFiles, type AddonFiles } from "./addon-files";
import { describeAttempts } from "./diagnosis";
import { discover, type Attempt } from "./discover";
import { librariesOf } from "./libraries";
import { load } from "./load";
import { glibcVersion } from "./system";
import type { TorchDirectory } from "./torch-directory";
import { minorOf, supportedMinors } from "./versions";
import { writableByOthers } from "./writable";

export interface Diagnosis {
  /** Whether the addon loads. */
  readonly ok: boolean;
  readonly platform: string;
  readonly node: string;
  /** The Node-API version of this Node, and the one that the addon asks for. */
  readonly nodeApi: string;
  /** The C library, where it is glibc. */
  readonly glibc?: string;
  /** The addons and what they were built for; absent if they were not found. */
  readonly addon?: AddonFiles;
  /** The places where libtorch was looked for. */
  readonly attempts: readonly Attempt[];
  /** The libtorch that was loaded. */
  readonly torch?: TorchDirectory & { readonly source: string };
  /** What the addon says: version, vector instructions, threads, CUDA devices. */
  readonly info?: Readonly<Record<string, unknown>>;
  /** Why there is no CUDA. */
  readonly withoutCuda?: string;
  /** What is loaded and another user may change. */
  readonly warnings?: readonly string[];
  /** Why the addon does not load. */
  readonly problem?: { readonly code: string; readonly message: string };
}

export function diagnose(): Diagnosis {
  const machine = {
    platform: `${process.platform}-${process.arch}`,
    node: process.version,
    nodeApi: process.versions.napi ?? "none",
    ...glibc(),
  };
  try {
    const { files, torch, attempts, withoutCuda, exports } = load();
    const addon = exports as { info?: () => Record<string, unknown> };
    const warnings = writableByOthers([files.loader, files.addon, ...librariesOf(torch).required]);
    return { ok: true, ...machine, addon: files, attempts, torch, info: addon.info?.() ?? {}, withoutCuda, warnings };
  } catch (error) {
    const { code, message } = error instanceof LibtorchOodError ? error : { code: "unexpected", message: String(error) };
    const addon = addonOrNothing();
    const minor = addon && minorOf(addon.built.libtorch);
    const { attempts } = discover({ minors: minor === undefined ? supportedMinors : [minor] });
    return { ok: false, ...machine, addon, attempts, problem: { code, message } };
  }
}

function addonOrNothing(): AddonFiles | undefined {
  try {
    return addonFiles();
  } catch {
    return undefined;
  }
}

function glibc(): { glibc?: string } {
  const version = glibcVersion();
  return version === "" ? {} : { glibc: version };
}

/** The diagnosis as a table for a terminal. */
export function describeDiagnosis(diagnosis: Diagnosis): string {
  const { addon, torch, problem } = diagnosis;
  const rows: [string, string | undefined][] = [
    ["platform", diagnosis.platform + (diagnosis.glibc ? `, glibc ${diagnosis.glibc}` : "")],
    ["Node.js", `${diagnosis.node}, Node-API ${diagnosis.nodeApi}`],
    ["addon", addon ? `${addon.addon}, built for libtorch ${addon.built.libtorch}, Node-API ${addon.built.napi}` : "not built"],
    ["libtorch", torch && `${torch.version} in ${torch.directory}`],
    ["CPU", diagnosis.info && `${text(diagnosis.info.cpuCapability)}, threads: ${text(diagnosis.info.threads)}`],
    ["CUDA", diagnosis.info && `devices: ${text(diagnosis.info.cudaDevices)}${diagnosis.withoutCuda ? ` (${diagnosis.withoutCuda})` : ""}`],
  ];
  const table = rows.filter(([, value]) => value).map(([name, value]) => `${name.padEnd(9)} ${value}`);
  const places = describeAttempts(diagnosis.attempts);
  const verdict = problem ? `It does not work: ${problem.code}: ${problem.message}` : "It works.";
  const { warnings = [] } = diagnosis;
  const warned =
    warnings.length === 0 ? [] : [`Warning: another user may replace what is loaded:\n${warnings.map((line) => `  ${line}`).join("\n")}`];
  return [...table, ...warned, ...(verdict.includes(places) ? [] : [`libtorch was looked for at:\n${places}`]), verdict].join("\n");
}

function text(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : "unknown";
}
