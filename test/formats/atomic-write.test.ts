import { execFileSync } from "node:child_process";
import promises from "node:fs/promises";
import {
  chmodSync,
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { openAtomicFile, writeFileAtomically } from "../../lib/formats/atomic-write";
import { packageRoot } from "../../lib/core/package-root";
import { temporaryDirectory } from "../support/temporary-directory";

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
    const { writeFileAtomically } = require(${JSON.stringify(join(__dirname, "../../lib/formats/atomic-write.ts"))});
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
  left(`.file.bin.${dead}-0123456789ab.tmp`, 15);
  left(`.file.bin.${process.pid}-0123456789ab.tmp`, 15); // of a worker that was terminated
  const kept = [
    left(`.file.bin.${dead}-00123456789a.tmp`, 5), // the number is another container's: a writer there touches its file
    left(`.file.bin.${process.pid}-00123456789a.tmp`, 5),
    left(`.file.bin.${process.ppid}-0123456789ab.tmp`, 15), // stopped, perhaps
    left(`.other.bin.${dead}-0123456789ab.tmp`, 15),
    left(`.file.bin.${dead}-notours.tmp`, 15),
  ];
  await writeFileAtomically(path, [text("x")]);
  expect(readdirSync(folder).sort()).toEqual([...kept, "file.bin"].sort());
});

test("a writer touches its file between writes, however far apart they are", async () => {
  jest.useFakeTimers({ doNotFake: ["nextTick", "setImmediate", "queueMicrotask", "Date"] });
  try {
    const path = place("heartbeat");
    const file = await openAtomicFile(path);
    const temporary = join(path, "..", readdirSync(join(path, ".."))[0] as string);
    utimesSync(temporary, 0, 0);
    jest.advanceTimersByTime(30_000);
    for (let turns = 0; statSync(temporary).mtimeMs === 0 && turns < 10_000; turns++) await new Promise(setImmediate);
    expect(Date.now() - statSync(temporary).mtimeMs).toBeLessThan(60_000);
    await file.discard();
    expect(jest.getTimerCount()).toBe(0);
    await writeFileAtomically(path, [text("x")]);
    expect(jest.getTimerCount()).toBe(0);
  } finally {
    jest.useRealTimers();
  }
});

// Nodes of our own in a folder of our own: a replaced /dev/null would break the machine that the test runs on.
(process.platform === "win32" ? describe.skip : describe)("what is no file is never replaced", () => {
  const isRoot = process.getuid?.() === 0;

  async function refused(path: string, kind: RegExp, node = path): Promise<void> {
    const before = lstatSync(node);
    const error: unknown = await writeFileAtomically(path, [text("x")]).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "ERR_IO", message: expect.stringMatching(kind) });
    const after = lstatSync(node);
    expect([after.ino, after.mode, after.rdev]).toEqual([before.ino, before.mode, before.rdev]);
    expect(readdirSync(join(node, "..")).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  }

  test("a pipe, also behind a link", async () => {
    const path = place("pipe");
    execFileSync("mkfifo", [path]);
    await refused(path, /expected a file or nothing there, found a pipe$/);
    const link = `${path}.link`;
    symlinkSync(path, link);
    await refused(link, /file\.bin\.link: .*found a pipe$/);
    expect(lstatSync(path).isFIFO()).toBe(true);
  });

  (isRoot ? test : test.skip)("devices", async () => {
    const path = place("devices");
    for (const [name, minor] of [
      ["null", "3"],
      ["full", "7"],
    ] as const) {
      const device = join(path, "..", name);
      execFileSync("mknod", [device, "c", "1", minor]);
      await refused(device, /found a device$/);
      symlinkSync(device, `${device}.link`);
      await refused(`${device}.link`, /found a device$/);
    }
  });

  test("a socket", async () => {
    const path = place("socket");
    const server = createServer().listen(path);
    await once(server, "listening");
    await refused(path, /found a socket$/);
    server.close();
  });

  (process.platform === "linux" ? test : test.skip)(
    "a link to an open file of the process: a pipe is refused, a file is written to",
    async () => {
      const path = place("open");
      const fifo = `${path}.fifo`;
      execFileSync("mkfifo", [fifo]);
      const pipe = openSync(fifo, "r+");
      symlinkSync(`/proc/self/fd/${pipe}`, path);
      await refused(path, /found a pipe$/);
      closeSync(pipe);
      unlinkSync(path);
      writeFileSync(`${path}.real`, "old");
      const real = openSync(`${path}.real`, "r");
      symlinkSync(`/proc/self/fd/${real}`, path);
      await writeFileAtomically(path, [text("new")]);
      expect([lstatSync(path).isSymbolicLink(), readFileSync(`${path}.real`, "utf8")]).toEqual([true, "new"]);
      closeSync(real);
    },
  );

  test("what becomes a pipe while the file is written", async () => {
    const path = place("meanwhile");
    const file = await openAtomicFile(path);
    execFileSync("mkfifo", [path]);
    await expect(file.commit()).rejects.toMatchObject({ code: "ERR_IO" });
    expect(lstatSync(path).isFIFO()).toBe(true);
    expect(readdirSync(join(path, ".."))).toEqual(["file.bin"]);
  });

  test("links to files are followed, one after the other, and stay; a link to nothing becomes the file", async () => {
    const path = place("links");
    const [first, second, loose] = [`${path}.1`, `${path}.2`, `${path}.3`];
    writeFileSync(path, "old");
    symlinkSync("file.bin", first);
    symlinkSync(first, second);
    await writeFileAtomically(second, [text("new")]);
    expect([first, second].every((link) => lstatSync(link).isSymbolicLink())).toBe(true);
    expect(readFileSync(path, "utf8")).toBe("new");
    symlinkSync("nowhere", loose);
    await writeFileAtomically(loose, [text("own")]);
    expect([lstatSync(loose).isFile(), readFileSync(loose, "utf8")]).toEqual([true, "own"]);
  });
});

test("under Node's permission model: a file is written, and written again", () => {
  const path = place("permission");
  const flag = ["--permission", "--experimental-permission"].find((name) => process.allowedNodeEnvironmentFlags.has(name));
  const compiled = join(packageRoot, "dist/formats/atomic-write.js");
  const script = `const { writeFileAtomically } = require(${JSON.stringify(compiled)});
    const write = (text) => writeFileAtomically(${JSON.stringify(path)}, [Buffer.from(text)]);
    write("one").then(() => write("two"));`;
  chmodSync(join(path, ".."), 0o755);
  writeFileSync(path, "zero");
  chmodSync(path, 0o664); // a bit more than the umask leaves
  execFileSync(process.execPath, [flag as string, "--allow-fs-read=*", "--allow-fs-write=*", "-e", script], { stdio: "pipe" });
  expect([readFileSync(path, "utf8"), statSync(path).mode & 0o777]).toEqual(["two", 0o664]);
});
