// The CPU quota of a control group, from files as Linux writes them; and what becomes of it in a process: OpenMP's number of threads.

import { spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { processorQuota } from "../../../lib/native/libtorch/cpu-quota";
import { packageRoot } from "../../../lib/core/package-root";

const from = (files: Record<string, string>) => processorQuota((path) => files[path]);

test.each<[string, Record<string, string>, number | undefined]>([
  ["version 2, in a container", { "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "250000 100000\n" }, 2],
  ["version 2, half a processor", { "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "50000 100000\n" }, 1],
  ["version 2, none", { "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "max 100000\n" }, undefined],
  [
    "version 2, the group above has less",
    {
      "/proc/self/cgroup": "0::/a.slice/b.scope\n",
      "/sys/fs/cgroup/a.slice/b.scope/cpu.max": "800000 100000\n",
      "/sys/fs/cgroup/a.slice/cpu.max": "300000 100000\n",
    },
    3,
  ],
  [
    "version 1",
    {
      "/proc/self/cgroup": "12:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n0::/system.slice\n",
      "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000\n",
      "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    },
    4,
  ],
  [
    "version 1, mounted under both names of its controllers",
    {
      "/proc/self/cgroup": "4:cpu,cpuacct:/\n",
      "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000",
      "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
    },
    2,
  ],
  [
    "version 1, none",
    {
      "/proc/self/cgroup": "4:cpu:/\n",
      "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
      "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    },
    undefined,
  ],
  ["a system without control groups", {}, undefined],
  ["nonsense", { "/proc/self/cgroup": "0::/\n\nx", "/sys/fs/cgroup/cpu.max": "many few" }, undefined],
])("%s", (_, files, expected) => {
  expect(from(files)).toBe(expected);
});

const severalCores = availableParallelism() > 1 ? test : test.skip;

severalCores("OpenMP takes as many threads as the quota has processors, unless it was told how many", () => {
  const files = { "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "150000 100000\n" };
  const program = `
    const fs = require("node:fs");
    const { readFileSync } = fs;
    const files = ${JSON.stringify(files)};
    fs.readFileSync = (path, ...rest) => files[path] ?? readFileSync(path, ...rest);
    const { exports } = require(${JSON.stringify(join(packageRoot, "dist", "native", "libtorch", "load.js"))}).load();
    console.log(exports.info().threads, process.env.OMP_NUM_THREADS);`;
  const threads = (environment: NodeJS.ProcessEnv) => {
    const env = { ...process.env, OMP_NUM_THREADS: undefined, ...environment };
    return spawnSync(process.execPath, ["-e", program], { encoding: "utf8", env }).stdout.trim();
  };
  expect(threads({})).toBe("1 undefined");
  expect(threads({ OMP_NUM_THREADS: "2" })).toBe("2 2");
});
