// Names from outside (of classes, files, folders, cells) that would speak to the terminal, or begin a line of their own, on every command.

import { existsSync, mkdirSync, openSync, closeSync, readFileSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import sharp from "sharp";
import type { Configuration } from "../../lib/experiment/configuration";
import { visible, visibleJson, visibleLines } from "../../lib/cli/visible";
import { discover } from "../../lib/native/libtorch/discover";
import { parsePathText, pathText } from "../../lib/formats/path-text";
import { packageRoot } from "../../lib/core/package-root";
import { draws } from "../formats/damage";
import { temporaryDirectory } from "../support/temporary-directory";
import { cli, dataDirectory, digits, smallTraining, type Ending } from "./command";

const directory = temporaryDirectory();
/** Sets a title, begins a line, colours, turns the direction, and ends with half of a surrogate pair's worth of C1. */
const hostile = "a\u001b]0;t\u0007\r\nin distribution    0.9500 forged\u001b[31m\u202e\u2028\u009b32m\u200f\ufeff";
const hidden = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;
/** As a name of the caller's own, and as part of a path. */
const shown = [visible(hostile), visible(pathText(hostile).slice(1, -1))];

/** @throws unless all that was printed is visible, with no line that a name began, and the name is there */
function judge({ stdout, stderr }: Ending, quoted = true): void {
  for (const text of [stdout, stderr]) {
    expect(text.replaceAll("\n", "")).not.toMatch(hidden);
    expect(text).not.toMatch(/^in distribution {4}0\.9500 forged/m);
  }
  if (quoted) expect(shown.some((form) => (stdout + stderr).includes(form))).toBe(true);
}

test("what is hidden is shown, what is not stays, and JSON keeps its value", () => {
  expect(shown[0]).toBe(
    "a\\u001b]0;t\\u0007\\u000d\\u000ain distribution    0.9500 forged\\u001b[31m\\u202e\\u2028\\u009b32m\\u200f\\ufeff",
  );
  expect(visible("\u{e0041}\ud800x\t\u007f\u00ad")).toBe("\\udb40\\udc41\\ud800x\\u0009\\u007f\\u00ad");
  for (const plain of ["Katze, 猫, قطة, 👩‍🔬, نمی‌خواهم, ü", "C:\\new\\table", ""]) expect(visible(plain)).toBe(plain);
  expect(visibleLines("one\ntwo\r\n")).toBe("one\ntwo\\u000d\n");
  expect(JSON.parse(visibleJson({ [hostile]: [hostile, "\u{e0041}"] }))).toEqual({ [hostile]: [hostile, "\u{e0041}"] });
  expect(visibleJson({ [hostile]: hostile })).not.toMatch(hidden);
});

// Names of files hold such characters on Linux and macOS only.
(process.platform === "win32" ? describe.skip : describe)("every command", () => {
  const [network, detector] = [directory.path("network.safetensors"), directory.path("detector.safetensors")];
  const folder = (name: string): string => join(directory.path(name), hostile);
  const size = ["--image-size", "8", "--channels", "1", "--width", "0.0625", "--batch-size", "16", "--threads", "1", "--epochs", "1"];

  async function pictures(place: string, seed: number, count: number): Promise<string> {
    const { below } = draws(seed);
    mkdirSync(place, { recursive: true });
    for (let i = 0; i < count; i++) {
      const pixels = Buffer.from(Array.from({ length: 64 }, () => below(256)));
      await sharp(pixels, { raw: { width: 8, height: 8, channels: 1 } })
        .png()
        .toFile(join(place, `${i} ${hostile}.png`));
    }
    return place;
  }

  beforeAll(async () => {
    process.env.LIBTORCH_OOD_HOME = discover().chosen?.directory;
    process.env.LIBTORCH_OOD_CACHE = directory.path("cache");
    for (const [i, name] of ["first", hostile].entries()) await pictures(join(folder("train"), name), i + 1, 48);
    for (const [i, name] of ["first", hostile].entries()) await pictures(join(folder("test"), name), i + 3, 6);
    await pictures(join(folder("other"), hostile), 5, 6);
  });

  test("train, fit, evaluate, score, extract", async () => {
    const out = join(directory.path("train"), `${hostile}.safetensors`);
    const trained = await cli(["train", folder("train"), ...size, "--validation", "0.25", "--progress", "--out", out]);
    judge(trained);
    expect(trained.code).toBe(0);
    writeFileSync(network, readFileSync(out));
    const fitting = ["fit", network, folder("train"), "--calibration", "0.25", "--score", "energy", "--progress"];
    const fitted = await cli([...fitting, "--out", join(directory.path("train"), `${hostile}.detector`)]);
    judge(fitted);
    expect(fitted).toMatchObject({ code: 0, stderr: expect.not.stringContaining("ERR_") });
    writeFileSync(detector, readFileSync(join(directory.path("train"), `${hostile}.detector`)));
    const sets = ["--test", folder("test"), "--ood", folder("other")];
    for (const subject of [network, detector]) {
      const evaluated = await cli(["evaluate", subject, ...sets, "--progress"]);
      judge(evaluated);
      expect(evaluated.code).toBe(0);
    }
    judge(await cli(["evaluate", detector, "--test", folder("train"), "--ood", folder("other")])); // seen before
    writeFileSync(join(folder("other"), `damaged ${hostile}.png`), "no image");
    const scored = await cli(["score", detector, folder("other"), "--progress"]);
    judge(scored);
    expect([scored.code, scored.stdout.trim().split("\n").length]).toEqual([1, 8]);
    const json = await cli(["score", detector, folder("other"), "--json"]);
    judge(json, false);
    expect(
      json.stdout
        .trim()
        .split("\n")
        .every((line) => {
          const { image } = JSON.parse(line) as { image: string };
          return parsePathText(Buffer.from(image)).toString().includes(hostile);
        }),
    ).toBe(true);
    judge(await cli(["score", detector, "--data", folder("test")]));
    judge(await cli(["extract", network, "--data", folder("test"), "--out", folder("features")]));
    expect(existsSync(join(folder("features"), "features.npy"))).toBe(true);
    judge(await cli(["score", detector, folder("nowhere")]));
    judge(await cli(["evaluate", `${hostile}.safetensors`, ...sets]));
  });

  test("experiments: folders of data and results", async () => {
    const shipped = JSON.parse(readFileSync(join(packageRoot, "examples", "digits-experiment.json"), "utf8")) as Configuration;
    const cell = { ...shipped.cells[0], epochs: 1, milestones: [], batchSize: 32, width: 0.0625 };
    const file = directory.put("cells.json", JSON.stringify({ ...shipped, subset: { train: 300, test: 50 }, cells: [cell] }));
    mkdirSync(directory.path("runs"));
    const run = ["experiment", "run", file, "--out", folder("runs"), "--threads", "1", "--data"];
    judge(await cli([...run, dataDirectory, "--dry-run"]), false);
    const ran = await cli([...run, dataDirectory]);
    judge(ran);
    expect(ran.code).toBe(0);
    const reported = await cli(["experiment", "report", folder("runs"), "--no-figures"]);
    judge(reported);
    expect(reported.code).toBe(0);
    judge(await cli([...run, folder("nowhere")]));
  });

  test("doctor, and wrong usage", async () => {
    process.env.LIBTORCH_OOD_HOME = join(directory.path("none"), "a\u001b[31m\u202e");
    const looked = await cli(["doctor"]);
    process.env.LIBTORCH_OOD_HOME = discover().chosen?.directory;
    judge(looked, false);
    expect(looked.stdout + looked.stderr).toContain("a\\u001b[31m\\u202e");
    for (const args of [["score", detector, `--${hostile}`], [hostile], ["train", hostile, "--out", "x", "--epochs", hostile]]) {
      const { code, ...ending } = await cli(args);
      judge({ code, ...ending });
      expect(code).toBe(2);
    }
  });
});

// A device that takes no byte, as a full disk.
(existsSync("/dev/full") ? describe : describe.skip)("stdout and stderr that take nothing", () => {
  function ending(args: readonly string[], full: "stdout" | "stderr"): { status: number | null; text: string } {
    const device = openSync("/dev/full", "w");
    try {
      const stdio = full === "stdout" ? (["ignore", device, "pipe"] as const) : (["ignore", "pipe", device] as const);
      const { status, stdout, stderr } = spawnSync(process.execPath, [join(packageRoot, "dist", "cli", "main.js"), ...args], {
        stdio: [...stdio],
        encoding: "utf8",
        timeout: 100_000,
      });
      return { status, text: full === "stdout" ? stderr : stdout };
    } finally {
      closeSync(device);
    }
  }

  const commands: readonly (readonly string[])[] = [
    ["doctor"],
    ["doctor", "--json"],
    ["--help"],
    ["experiment", "schema"],
    ["train", digits, "--epochs", "1", ...smallTraining, "--out", directory.path("full.safetensors")],
  ];

  test.each(commands)("%s %s: exit code 1 and one line for stdout, exit code 1 for stderr where there is something to say", (...args) => {
    const { status, text } = ending(args, "stdout");
    expect(status).toBe(1);
    expect(text).toMatch(/^ERR_IO: cannot write to stdout: ENOSPC/m);
    expect(text).not.toMatch(/\n +at /);
    expect(text.match(/ERR_/g)).toHaveLength(1);
    expect(ending(args, "stderr").status).toBe(args[0] === "train" ? 1 : 0);
    if (args[0] === "train") expect(existsSync(directory.path("full.safetensors"))).toBe(true);
  });
});
