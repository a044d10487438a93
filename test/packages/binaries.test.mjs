// What the packed binaries ask of a system: no more than libtorch does.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { highestVersions, isNewer, readElf } from "../../scripts/elf.mjs";
import { addon, installedProject, runtime } from "./consumer.mjs";

const onLinux = { skip: process.platform !== "linux" };

function binaries() {
  const { directory } = installedProject();
  const [ours, torch] = [addon, runtime].map((name) => path.join(directory, "node_modules", name));
  return {
    addons: ["loader.node", "libtorch_ood.node"].map((name) => path.join(ours, name)),
    libraries: ["libc10.so", "libtorch_cpu.so", "libgomp.so.1"].map((name) => path.join(torch, "lib", name)),
    torch,
  };
}

test("the addons need no newer symbol versions than libtorch itself", onLinux, (t) => {
  const { addons, libraries } = binaries();
  const floor = highestVersions(libraries.flatMap((file) => readElf(file).versions));
  t.diagnostic(`libtorch: GLIBC ${floor.GLIBC}, GLIBCXX ${floor.GLIBCXX}, CXXABI ${floor.CXXABI}`);
  for (const file of addons) {
    const found = highestVersions(readElf(file).versions);
    t.diagnostic(`${path.basename(file)}: GLIBC ${found.GLIBC}, GLIBCXX ${found.GLIBCXX}, CXXABI ${found.CXXABI}`);
    for (const [family, version] of Object.entries(found)) {
      assert.ok(!isNewer(version, floor[family] ?? "0"), `${file}: expected ${family} ${floor[family]} at most, found ${version}`);
    }
  }
});

test("the addons name no path, and no libraries but libtorch's two and the system's", onLinux, () => {
  const system = /^(libstdc\+\+\.so\.6|libgcc_s\.so\.1|libm\.so\.6|libc\.so\.6|libdl\.so\.2|libpthread\.so\.0|ld-linux-[\w-]+\.so\.\d)$/;
  for (const file of binaries().addons) {
    const { runpath, needed } = readElf(file);
    assert.equal(runpath, undefined, file);
    const others = needed.filter((name) => !system.test(name));
    assert.deepEqual(others, file.includes("loader") ? [] : ["libtorch_cpu.so", "libc10.so"]);
    assert.doesNotMatch(
      readFileSync(file, "latin1"),
      /\/(home|root|work|tmp|Users)\/[\w.-]+\//,
      `${file} holds a path of the machine that built it`,
    );
  }
});

test("libtorch's package: the wheel's checksums, its licences, and those of libgomp", () => {
  const { torch } = binaries();
  const { wheel, libtorch } = JSON.parse(readFileSync(path.join(torch, "package.json"), "utf8"));
  assert.match(libtorch, /^2\.13\.0/);
  for (const hash of Object.values(wheel)) assert.match(hash, /^[0-9a-f]{64}$/);
  assert.match(readFileSync(path.join(torch, "licenses", "LICENSE"), "utf8"), /PyTorch/);
  assert.match(readFileSync(path.join(torch, "licenses", "GPL-3.0.txt"), "utf8"), /Version 3, 29 June 2007/);
  assert.match(readFileSync(path.join(torch, "licenses", "GCC-runtime-library-exception.txt"), "utf8"), /Version 3\.1, 31 March 2009/);
});
