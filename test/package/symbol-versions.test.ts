// The addons of this build ask the system for no newer glibc and libstdc++ than libtorch itself: a function whose version changed in a
// newer one (native/platform/symbol_versions.h) is noticed here, not only where the packages are tested.

import { spawnSync } from "node:child_process";
import path from "node:path";
import { packageRoot } from "../../lib/core/package-root";
import { diagnose } from "../../lib/native/libtorch/doctor";
import { librariesOf } from "../../lib/native/libtorch/libraries";

type Versions = Record<string, string>;

/** The highest version of each family that any of the files asks for, and which of `found` are above `floor`. */
function compare(addons: readonly string[], libraries: readonly string[]): { floor: Versions; above: string[] } {
  const program = `
    import { highestVersions, isNewer, readElf } from ${JSON.stringify(path.join(packageRoot, "scripts", "elf.mjs"))};
    const [addons, libraries] = JSON.parse(process.argv[1]);
    const floor = highestVersions(libraries.flatMap((file) => readElf(file).versions));
    const above = addons.flatMap((file) =>
      Object.entries(highestVersions(readElf(file).versions))
        .filter(([family, version]) => isNewer(version, floor[family] ?? "0"))
        .map(([family, version]) => file + ": " + family + " " + version));
    console.log(JSON.stringify({ floor, above }));`;
  const args = ["--input-type=module", "-e", program, JSON.stringify([addons, libraries])];
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: "utf8" });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return JSON.parse(stdout) as { floor: Versions; above: string[] };
}

const onLinux = process.platform === "linux" ? test : test.skip;

onLinux("the addons need no newer symbol versions than libtorch", () => {
  const { addon, torch } = diagnose();
  if (addon === undefined || torch === undefined) throw new Error("no addon, or no libtorch");
  const { floor, above } = compare([addon.loader, addon.addon], librariesOf(torch).required);
  expect(Object.keys(floor)).toEqual(expect.arrayContaining(["GLIBC", "GLIBCXX"]));
  expect(above).toEqual([]);
});
