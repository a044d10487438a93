// Pipes in place of the texts that a user names, and standard input that is none: all read, or refused in words, and Ctrl-C ends the wait for a writer.

import { execFileSync, spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import { readConfiguration } from "../../lib/experiment/configuration";
import { imagePaths } from "../../lib/cli/image-files";
import { readClassNames } from "../../lib/formats/class-list";
import { readPaths } from "../../lib/formats/path-list";
import { readTextFile } from "../../lib/formats/text-file";
import { packageRoot } from "../../lib/core/package-root";
import { temporaryDirectory } from "../support/temporary-directory";
import { cli, dataDirectory } from "./command";

const directory = temporaryDirectory();
const configuration = {
  inDistribution: "mnist",
  outOfDistribution: ["fashion-mnist"],
  seeds: 1,
  cells: [{ depth: 18, l2Normalize: true, epochs: 2, batchSize: 64 }],
};
let pipes = 0;

/** A pipe with a writer, as `<(command)` of a shell makes one. */
function pipeOf(text: string): string {
  const pipe = emptyPipe();
  spawn("sh", ["-c", 'printf %s "$1" > "$2"', "sh", text, pipe], { stdio: "ignore" });
  return pipe;
}

function emptyPipe(): string {
  const pipe = directory.path(`pipe${pipes++}`);
  execFileSync("mkfifo", [pipe]);
  return pipe;
}

const describeUnix = process.platform === "win32" ? describe.skip : describe;

describeUnix("pipes", () => {
  test("names of classes, paths of images and configurations", async () => {
    expect(await readClassNames(pipeOf("\ufeffcat\ndog\n"))).toEqual(["cat", "dog"]);
    expect(await readPaths(pipeOf("a.png\nb.png\n"), undefined)).toEqual(["a.png", "b.png"]);
    expect(await readConfiguration(pipeOf(JSON.stringify(configuration)))).toEqual(configuration);
  });

  test("what a file would be refused for", async () => {
    const [twice, much, broken] = [pipeOf("a\na\n"), pipeOf("x".repeat(70_000)), pipeOf("{")];
    await expect(readClassNames(twice)).rejects.toThrow(`${twice}: expected different class names, found "a" twice`);
    const read = readTextFile(much, "a text", 65_536, { fromUser: true });
    await expect(read).rejects.toThrow(`${much}: expected a text of at most 65536 bytes, found more`);
    await expect(readConfiguration(broken)).rejects.toMatchObject({ code: "ERR_CORRUPT_FILE" });
  });

  test("a pipe that the user did not name, in a folder from elsewhere, is not waited for", async () => {
    await expect(readTextFile(emptyPipe(), "a text", 100)).rejects.toMatchObject({ code: "ERR_IO" });
  });

  test("a pipe without a writer is waited for until the call is aborted", async () => {
    for (const read of [readClassNames, readPaths, readConfiguration]) {
      const controller = new AbortController();
      const call = read(emptyPipe(), controller.signal);
      setTimeout(() => controller.abort(), 50);
      await expect(call).rejects.toMatchObject({ code: "ERR_ABORTED" });
    }
  });

  test("Ctrl-C ends a command that waits for the writer of a pipe", async () => {
    const run = ["experiment", "run", emptyPipe(), "--data", dataDirectory, "--out", directory.path("runs")];
    const child = spawn(process.execPath, [join(packageRoot, "dist", "cli", "main.js"), ...run], { stdio: "ignore" });
    const ended = new Promise((resolve) => child.on("close", resolve));
    const again = setInterval(() => child.kill("SIGINT"), 500); // before it listens, SIGINT ends it anyhow
    expect(await ended).not.toBe(0);
    clearInterval(again);
  });
});

describe("standard input", () => {
  test("named twice", async () => {
    const message = "-: expected standard input to be named once, found it 2 times";
    await expect(imagePaths(["-", "a.png", "-"], undefined, undefined)).rejects.toMatchObject({ code: "ERR_OPTION", message });
    await expect(imagePaths(["-"], ["-"], undefined)).rejects.toMatchObject({ code: "ERR_OPTION", message });
  });

  test("that is a directory", () => {
    const script = 'require(process.argv[1]).readPaths("-").catch((error) => console.log(error.code, error.message))';
    const program = `exec "$0" -e '${script}' "$1" < "$2"`;
    const module = join(packageRoot, "dist", "formats", "path-list.js");
    const { stdout } = spawnSync("sh", ["-c", program, process.execPath, module, directory.path(".")], { encoding: "utf8" });
    expect(stdout).toBe("ERR_IO cannot read standard input: expected a list of paths, found a directory\n");
  });
});

test("a path that is empty, as of a variable that is not set, is wrong usage that names the option", async () => {
  for (const [command, option] of [
    [["train", dataDirectory, "--epochs", "1"], "--out"],
    [["train", dataDirectory, "--epochs", "1", "--out", "x"], "--checkpoint"],
    [["fit", "--features", "x", "--calibration", "y"], "--out"],
    [["experiment", "run", "table1", "--data", dataDirectory], "--out"],
    [["experiment", "run", "table1", "--out", "x"], "--data"],
    [["experiment", "report", "x"], "--out"],
    [["extract", "x", "y"], "--out"],
  ] as const) {
    const { code, stderr } = await cli([...command, option, ""]);
    expect([option, code]).toEqual([option, 2]);
    expect(stderr).toMatch(new RegExp(`option '${option} <\\w+>' argument '' is invalid\\. Expected `));
  }
});
