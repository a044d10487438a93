// The number of processors that the control group of this process may use (docker run --cpus, a CPU limit of Kubernetes). OpenMP counts the cores of
// the machine: its threads would use up the quota at once, and wait for each other while they are throttled.

import { readFileSync } from "node:fs";
import { posix } from "node:path";

const root = "/sys/fs/cgroup";

/**
 * Whole processors below the smallest quota of the group and those that it lies in, at least 1; undefined without a quota.
 *
 * @param read The text of a file, undefined where there is none; for tests.
 */
export function processorQuota(read: (path: string) => string | undefined = readText): number | undefined {
  const quotas: number[] = [];
  for (const line of (read("/proc/self/cgroup") ?? "").split("\n")) {
    const [, controllers = "", group = ""] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (group === "") continue;
    if (controllers === "") quotas.push(...upwards(group).map((path) => unified(read(`${root}${path}/cpu.max`))));
    else if (controllers.split(",").includes("cpu")) quotas.push(...upwards(group).map((path) => legacy(path, controllers, read)));
  }
  const smallest = Math.min(...quotas);
  return Number.isFinite(smallest) ? Math.max(1, Math.floor(smallest)) : undefined;
}

// Inside a container the group is the root of what is mounted there, whatever its name outside.
function upwards(group: string): string[] {
  const path = posix.normalize(group).replace(/\/$/, "");
  return path === "" ? [""] : [path, ...upwards(posix.dirname(path))];
}

/** Version 2: "50000 100000", or "max 100000". */
function unified(text: string | undefined): number {
  const [quota, period] = (text ?? "").trim().split(" ").map(Number);
  return share(quota, period);
}

/** Version 1: two files, and -1 for no quota. */
function legacy(path: string, controllers: string, read: (path: string) => string | undefined): number {
  for (const mount of ["cpu", controllers]) {
    const [quota, period] = ["quota", "period"].map((name) => Number(read(`${root}/${mount}${path}/cpu.cfs_${name}_us`) ?? NaN));
    if (Number.isFinite(share(quota, period))) return share(quota, period);
  }
  return Infinity;
}

function share(quota = NaN, period = NaN): number {
  return quota > 0 && period > 0 ? quota / period : Infinity;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
