import { execFileSync } from "node:child_process";
import promises from "node:fs/promises";
import { chmodSync, mkdirSync, readFileSync, readdirSync, readlinkSync, statSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomically } from "../../lib/files/atomic-write";
import { temporaryDirectory } from "./temporary-directory";

const directory = temporaryDirectory();
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

/** A directory of its own, so that leftovers are seen. */
function place(name: string): string {
  mkdirSync(directory.path(name));
  return join(directory.path(name), "file.bin");
}

afterEach(() => jest.restoreAllMocks());

test("writes the chunks one after the other and leaves nothing else", async () => {
  const path = place("chunks");
  await writeFileAtomically(path, [text("one "), new Uint8Array(0), text("two "), new Uint8Array([51])]);
  expect(readFileSync(path, "utf8")).toBe("one two 3");
  expect(readdirSync(join(path, ".."))).toEqual(["file.bin"]);
});

test("asks for a chunk only when the one before is written, and keeps the old file until the last", async () => {
  const path = place("lazy");
  await writeFileAtomically(path, [text("old")]);
  const seen: string[] = [];
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (const part of ["new", "er"]) {
      yield await Promise.resolve(text(part));
      const temporary = readdirSync(join(path, "..")).find((name) => name.endsWith(".tmp")) as string;
      seen.push(readFileSync(path, "utf8"), readFileSync(join(path, "..", temporary), "utf8"));
    }
  }
  await writeFileAtomically(path, chunks());
  expect(seen).toEqual(["old", "new", "old", "newer"]);
  expect(readFileSync(path, "utf8")).toBe("newer");
});

test("flushes the file before the rename and the directory after it", async () => {
  const path = place("flush");
  const order: string[] = [];
  const { open, rename } = promises;
  jest.spyOn(promises, "open").mockImplementation(async (...args: Parameters<typeof open>) => {
    const handle = await open(...args);
    const sync = handle.sync.bind(handle);
    handle.sync = async () => {
      order.push(String(args[0]).endsWith(".tmp") ? "sync file" : "sync directory");
      await sync();
    };
    return handle;
  });
  jest.spyOn(promises, "rename").mockImplementation(async (...args: Parameters<typeof rename>) => {
    order.push("rename");
    await rename(...args);
  });
  await writeFileAtomically(path, [text("x")]);
  expect(order).toEqual(["sync file", "rename", "sync directory"]);
});

test.each(["write", "sync", "close"] as const)(
  "a disk that fills up at %s: ERR_IO with the cause, old file kept, nothing left behind",
  async (method) => {
    const path = place(`full at ${method}`);
    await writeFileAtomically(path, [text("old")]);
    const { open } = promises;
    jest.spyOn(promises, "open").mockImplementation(async (...args: Parameters<typeof open>) => {
      const handle = await open(...args);
      const real = handle.close.bind(handle);
      handle[method] = async (): Promise<never> => {
        if (method === "close") await real();
        throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
      };
      return handle;
    });
    const error = await writeFileAtomically(path, [text("new")]).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "ERR_IO", cause: { code: "ENOSPC" } });
    expect((error as Error).message).toBe(`cannot write ${path}: ENOSPC: no space left on device, write`);
    expect(readFileSync(path, "utf8")).toBe("old");
    expect(readdirSync(join(path, ".."))).toEqual(["file.bin"]);
  },
);

test("a write that takes part of the bytes is continued; one that takes none fails", async () => {
  const path = place("partial");
  const { open } = promises;
  let atOnce = 3;
  jest.spyOn(promises, "open").mockImplementation(async (...args: Parameters<typeof open>) => {
    const handle = await open(...args);
    const write = handle.write.bind(handle) as (data: Uint8Array, offset: number, length: number) => Promise<unknown>;
    handle.write = ((data: Uint8Array, offset: number, length: number) =>
      write(data, offset, Math.min(length, atOnce))) as typeof handle.write;
    return handle;
  });
  await writeFileAtomically(path, [text("0123456789")]);
  expect(readFileSync(path, "utf8")).toBe("0123456789");
  atOnce = 0;
  await expect(writeFileAtomically(path, [text("x")])).rejects.toMatchObject({ code: "ERR_IO" });
  expect(readFileSync(path, "utf8")).toBe("0123456789");
});

test("what the iterable throws comes through as it is, and the old file stays", async () => {
  const path = place("throws");
  await writeFileAtomically(path, [text("old")]);
  const mine = new Error("mine");
  function* chunks(): Generator<Uint8Array> {
    yield text("new");
    throw mine;
  }
  await expect(writeFileAtomically(path, chunks())).rejects.toBe(mine);
  expect(readFileSync(path, "utf8")).toBe("old");
  expect(readdirSync(join(path, ".."))).toEqual(["file.bin"]);
});

test("a directory that is missing, a file where a directory should be, a directory where the file should be: ERR_IO", async () => {
  const path = place("wrong");
  await writeFileAtomically(path, [text("x")]);
  for (const [target, code] of [
    [join(directory.path("absent"), "file"), "ENOENT"],
    [join(path, "file"), "ENOTDIR"],
    [directory.path("wrong"), "EISDIR"],
  ] as const) {
    await expect(writeFileAtomically(target, [text("y")])).rejects.toMatchObject({ code: "ERR_IO", cause: { code } });
  }
  expect(readdirSync(directory.path("wrong"))).toEqual(["file.bin"]);
  expect(readdirSync(directory.path(".")).filter((name) => name.endsWith(".tmp"))).toEqual([]);
});

test("a name as long as the file system allows", async () => {
  const path = join(place("long"), "..", "n".repeat(255));
  await writeFileAtomically(path, [text("x")]);
  expect(readFileSync(path, "utf8")).toBe("x");
});

test("keeps the mode of the file it replaces, and follows a link", async () => {
  const path = place("mode");
  await writeFileAtomically(path, [text("old")]);
  chmodSync(path, 0o640);
  const link = directory.path("link");
  symlinkSync(path, link);
  await writeFileAtomically(link, [text("new")]);
  expect(readlinkSync(link)).toBe(path);
  expect(readFileSync(path, "utf8")).toBe("new");
  expect(statSync(path).mode & 0o777).toBe(0o640);
});

test("writers of one path at the same time: one of them wins whole", async () => {
  const path = place("race");
  const contents = Array.from({ length: 8 }, (_, i) => String(i).repeat(100_000));
  await Promise.all(contents.map((content) => writeFileAtomically(path, [text(content.slice(0, 50_000)), text(content.slice(50_000))])));
  expect(contents).toContain(readFileSync(path, "utf8"));
  expect(readdirSync(join(path, ".."))).toEqual(["file.bin"]);
});

test("a process killed while it writes leaves the old file whole", async () => {
  const path = place("killed");
  await writeFileAtomically(path, [text("old")]);
  const script = `
    const { transformSync } = require("@swc/core"); const fs = require("fs");
    require.extensions[".ts"] = (module, file) => module._compile(transformSync(fs.readFileSync(file, "utf8"),
      { jsc: { parser: { syntax: "typescript" }, target: "es2022" }, module: { type: "commonjs" } }).code, file);
    const { writeFileAtomically } = require(${JSON.stringify(join(__dirname, "../../lib/files/atomic-write.ts"))});
    function* chunks() { yield Buffer.alloc(1e6, "n"); process.kill(process.pid, "SIGKILL"); yield Buffer.alloc(1e6, "n"); }
    writeFileAtomically(${JSON.stringify(path)}, chunks());`;
  expect(() => execFileSync(process.execPath, ["-e", script], { cwd: join(__dirname, "../.."), stdio: "pipe" })).toThrow(/Command failed/);
  expect(readFileSync(path, "utf8")).toBe("old");
  expect(readdirSync(join(path, "..")).filter((name) => name.endsWith(".tmp"))).toHaveLength(1); // it did get that far
});

test("what killed writers of the same file left is removed; a living writer's file, a fresh one and other files stay", async () => {
  const path = place("abandoned");
  const folder = join(path, "..");
  const dead = Number(execFileSync(process.execPath, ["-p", "process.pid"], { encoding: "utf8" }));
  const left = (name: string, minutesOld: number): string => {
    writeFileSync(join(folder, name), "part");
    const time = Date.now() / 1000 - 60 * minutesOld;
    utimesSync(join(folder, name), time, time);
    return name;
  };
  left(`.file.bin.${dead}-0123456789ab.tmp`, 5);
  const kept = [
    left(`.file.bin.${dead}-00123456789a.tmp`, 0),
    left(`.file.bin.${process.pid}-0123456789ab.tmp`, 5),
    left(`.other.bin.${dead}-0123456789ab.tmp`, 5),
    left(`.file.bin.${dead}-notours.tmp`, 5),
  ];
  await writeFileAtomically(path, [text("x")]);
  expect(readdirSync(folder).sort()).toEqual([...kept, "file.bin"].sort());
});
