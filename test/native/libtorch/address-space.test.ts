// The limit on the address space against what libtorch takes; /proc as Linux writes it. A process under such a limit is in test/cli/doctor.test.ts.

import { requireAddressSpace } from "../../../lib/native/libtorch/address-space";

const mebibyte = 2 ** 20;

/** A /proc with this limit (in bytes, or "unlimited") and 700 MiB in use. */
function proc(limit: number | string): (path: string) => string {
  return (path) =>
    path === "/proc/self/limits"
      ? `Limit                     Soft Limit           Hard Limit           Units     \nMax address space         ${limit}           unlimited            bytes     \n`
      : `Name:\tnode\nVmPeak:\t  800000 kB\nVmSize:\t  ${700 * 1024} kB\n`;
}

test("enough room, no limit, and a system that states none: nothing", () => {
  for (const read of [proc(797 * mebibyte), proc("unlimited"), () => undefined]) expect(() => requireAddressSpace([], read)).not.toThrow();
});

test("too little: how much is allowed, taken and needed", () => {
  expect(() => requireAddressSpace([], proc(790 * mebibyte))).toThrow(
    expect.objectContaining({
      code: "ERR_OUT_OF_MEMORY",
      message: expect.stringMatching(/expected room for 96 MiB; found a limit of 790 MiB, of which 700 MiB are in use/),
    }),
  );
});
