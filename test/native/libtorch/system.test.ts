// What the dynamic linker's messages are read as; the messages are those of glibc 2.28 and of musl 1.2. The real linker's refusal is
// tested on the packed addon (test/packages/failures.test.mjs).

import { systemProblem } from "../../../lib/native/libtorch/system";

test("too old a glibc: the version needed, the version there, and systems that are new enough", () => {
  const said = "/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by /app/loader.node)";
  expect(systemProblem(said, "2.27")).toMatch(/^This system is too old for it: glibc 2\.34 is needed, and here is glibc 2\.27\. Debian 10/);
});

test.each(["GLIBCXX_3.4.30", "CXXABI_1.3.13"])("too old a libstdc++ for %s", (version) => {
  const said = `/usr/lib/libstdc++.so.6: version \`${version}' not found (required by /app/libtorch_ood.node)`;
  expect(systemProblem(said, "2.36")).toContain(`libstdc++ is too old for it: ${version} is needed`);
});

test("another reason is none of the system's", () => {
  expect(systemProblem("/app/libtorch_ood.node: file too short", "2.36")).toBeUndefined();
});

const onLinux = process.platform === "linux" ? test : test.skip;

onLinux("musl instead of glibc: whatever the linker said", () => {
  const musl = "Error relocating /app/loader.node: __memcpy_chk: symbol not found";
  expect(systemProblem(musl, "")).toContain("Alpine has musl");
});
