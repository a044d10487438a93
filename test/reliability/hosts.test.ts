// What hosts other than Node forbid: Electron refuses ArrayBuffers over memory that is not V8's, and ends a process whose malloc is asked for a block of
// 2 GB. Electron's malloc is stood in for by one that ends the process at 256 MiB already.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { load } from "../../lib/native/libtorch/load";
import { temporaryDirectory } from "../support/temporary-directory";
import { run } from "./child";

const directory = temporaryDirectory();
const onLinux = process.platform === "linux" ? describe : describe.skip;

test("the addons cannot make an ArrayBuffer over memory of their own: they do not import what makes one", () => {
  const { loader, addon } = load().files;
  const imports = (file: string, name: string): boolean => readFileSync(file).includes(`\0${name}\0`);
  expect(imports(addon, "napi_create_arraybuffer")).toBe(true); // so that a name which is there would be found
  for (const file of [loader, addon]) {
    for (const name of ["napi_create_external_arraybuffer", "napi_create_external_buffer", "node_api_create_buffer_from_arraybuffer"]) {
      expect([file, name, imports(file, name)]).toEqual([file, name, false]);
    }
  }
});

onLinux("a host whose malloc ends the process at large blocks", () => {
  const largest = 256 * 2 ** 20;
  let host: NodeJS.ProcessEnv;
  beforeAll(() => {
    const library = directory.path("refuses-large-blocks.so");
    execFileSync("cc", [
      "-shared",
      "-fPIC",
      "-O1",
      "-Wall",
      "-Werror",
      "-o",
      library,
      join(__dirname, "programs", "refuses-large-blocks.c"),
    ]);
    host = { LD_PRELOAD: library, LARGEST_BLOCK: String(largest) };
  });

  test("such a host does end at an ArrayBuffer of 320 MiB", async () => {
    const { code, stderr } = await run("large-blocks.cjs", ["buffer"], { environment: host });
    expect([code, stderr]).toEqual([97, "the host's malloc was asked for a large block\n"]);
    expect(await run("large-blocks.cjs", ["buffer"])).toMatchObject({ code: 0, stdout: `${320 * 2 ** 20}\n` });
  });

  test("tensors of 320 MiB live in it, and their memory goes back to the system", async () => {
    const { code, stdout, stderr } = await run("large-blocks.cjs", [], { environment: host });
    expect([code, stderr]).toEqual([0, ""]);
    const { before, holding, released, idle, values } = JSON.parse(stdout) as Record<string, number> & { values: unknown };
    expect(values).toEqual([[40, 2 ** 20], [2, 2, 2], 2, 1]);
    expect(holding! - before!).toBeGreaterThan(900); // means, scatters and the copy of the means
    // Kept for the next call: two dozen temporaries of a row's 8 MiB (190 to 210 MiB are seen), of 1,450 MiB that were held.
    expect(released! - before!).toBeLessThan(256);
    expect(idle! - before!).toBeLessThan(100);
  });
});
