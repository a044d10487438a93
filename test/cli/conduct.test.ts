// How the commands behave beside what they compute: help, exit codes, interruption, a reader that leaves, progress.

import { existsSync, readFileSync } from "node:fs";
import { packageVersion } from "../../lib/core/package-root";
import { temporaryDirectory } from "../support/temporary-directory";
import { cli, digits, good, smallTraining } from "./command";

const directory = temporaryDirectory();
const commands = ["train", "extract", "fit", "score", "evaluate"];

test("--help of the whole: every command, and the way from images to verdicts", async () => {
  const { stdout } = await good(["--help"]);
  for (const command of ["setup", "doctor", ...commands]) expect(stdout).toMatch(new RegExp(`^  ${command} `, "m"));
  expect(stdout).toMatch(/train .*\n.* fit .*\n.* evaluate .*\n.* score /);
});

test("--version: that of the package", async () => {
  expect((await good(["--version"])).stdout).toBe(`${packageVersion()}\n`);
});

test.each(commands)("%s --help: what it is for, its data sets, examples that are commands, exit codes", async (command) => {
  const { stdout } = await good([command, "--help"]);
  expect(stdout).toMatch(new RegExp(`^Usage: libtorch-ood ${command} \\[options\\]`));
  expect(stdout).toMatch(/^DATA is SET:DIR or the path of a folder of images\. NAME=DATA gives it another name\.$/m);
  expect(stdout).toMatch(new RegExp(`^Examples:\\n(  libtorch-ood \\w+ .*\\n)*  libtorch-ood ${command} `, "m"));
  expect(stdout).toMatch(/^Exit codes: 0 done, 1 error .*, 2 wrong usage, 130 interrupted/m);
  expect(stdout).toContain("--json");
  // Every option that an example uses exists.
  const known = new Set([...stdout.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map(([, option]) => option));
  const examples = stdout
    .slice(stdout.indexOf("Examples:"))
    .split("\n\n")[0]!
    .split(/^ {2}(?=libtorch-ood)/m);
  for (const example of examples.filter((line) => line.startsWith(`libtorch-ood ${command} `))) {
    for (const [option] of example.split(/[|#]/)[0]!.matchAll(/--[a-z][\w-]*/g)) expect(known).toContain(option);
  }
});

test.each([
  [["train", digits, "--epochs", "1"], /required option '--out <file>'/],
  [["train", digits, "--out", "x", "--epochs", "1.5"], /Expected a whole number from 1 on/],
  [["train", digits, "--out", "x"], /expected --epochs <n> or --preset <name>/],
  [["train", digits, "--out", "x", "--epochs", "1", "--resume"], /--resume needs --checkpoint/],
  [["train", "cifar11:data", "--out", "x", "--epochs", "1"], /Expected one of mnist, .*cifar10.* before the colon/],
  [["train", "no-such-folder", "--out", "x", "--epochs", "1"], /Expected SET:DIR .* or an existing folder of images/],
  [["train", digits, "--out", "x", "--epochs", "1", "--widht", "2"], /unknown option '--widht'/],
  [["extract", "m.safetensors", "--out", "x"], /expected image files or --data/],
  [["fit", "m.safetensors", "--calibration", "0.1", "--out", "x"], /expected <model> and <data>, or --features/],
  [["fit", "m.safetensors", digits, "--calibration", "none", "--out", "x"], /'--calibration' argument 'none' is invalid/],
  [["score", "d.safetensors"], /expected image files, --data or --features/],
  [["evaluate", "d.safetensors", "--test", digits], /required option '--ood <data>'/],
  [["frobnicate"], /unknown command 'frobnicate'/],
  [[], /Usage: libtorch-ood/],
])("wrong usage, exit code 2: %j", async (args, message) => {
  const { code, stdout, stderr } = await cli(args);
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/\n +at /);
});

test.each([
  [["score", "missing.safetensors", "a.png"], /^ERR_IO: cannot open missing\.safetensors/],
  [["evaluate", "package.json", "--test", digits, "--ood", digits], /^ERR_CORRUPT_FILE: package\.json/],
  [["train", "cifar10:nowhere", "--epochs", "1", "--out", "x"], /^ERR_IO: cannot find the class names of CIFAR-10/],
  [["train", digits, "--epochs", "1", "--width", "1000", "--out", "x"], /^ERR_RANGE: width: expected .*, found 1000/],
])("an error, exit code 1, one line with its code: %j", async (args, message) => {
  const { code, stdout, stderr } = await cli(args);
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toMatch(message);
  expect(
    stderr
      .trim()
      .split("\n")
      .filter((line) => line.startsWith("ERR_")),
  ).toHaveLength(1);
  expect(stderr).not.toMatch(/\n +at /);
});

test("Ctrl-C in training: exit code 130, what there is and how to go on; the same command then ends as if nothing had been", async () => {
  const args = (name: string) => {
    const files = ["--checkpoint", directory.path(`${name}.checkpoint`), "--resume", "--out", directory.path(`${name}.safetensors`)];
    return ["train", digits, "--epochs", "6", ...smallTraining, ...files];
  };
  await good(args("whole"));
  let sent = false;
  const { code, stdout, stderr } = await cli(args("broken"), (child, text) => {
    if (sent || !/^ +1 /m.test(text)) return;
    sent = true;
    child.kill("SIGINT");
  });
  expect([code, sent]).toEqual([130, true]);
  expect(stdout).not.toMatch(/written/);
  const message = /^interrupted; .*broken\.checkpoint holds the first (\d) epochs; the same command with --resume goes on from there$/m;
  expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/ERR_|\n +at /);
  expect(existsSync(directory.path("broken.safetensors"))).toBe(false);
  const done = Number(message.exec(stderr)![1]);
  const resumed = await good(args("broken"));
  expect(resumed.stdout.match(/^ +\d /gm)!.map(Number)).toEqual(Array.from({ length: 6 - done }, (_, i) => done + 1 + i));
  expect(resumed.stderr).toMatch(new RegExp(`^going on after epoch ${done}`, "m"));
  const [whole, broken] = ["whole", "broken"].map((name) => readFileSync(directory.path(`${name}.safetensors`)));
  expect(broken!.equals(whole!)).toBe(true);
});

test("Ctrl-C without a checkpoint: nothing is written, and it says so", async () => {
  const out = directory.path("none.safetensors");
  const { code, stderr } = await cli(["train", digits, "--epochs", "50", ...smallTraining, "--progress", "--out", out], (child, text) => {
    if (/^ +1 /m.test(text)) child.kill("SIGINT");
  });
  expect([code, existsSync(out)]).toEqual([130, false]);
  expect(stderr).toMatch(/^interrupted; nothing was written \(--checkpoint and --resume let a run go on\)\n$/m); // and no progress behind it
});

test("a reader that leaves ends nothing with a stack trace; progress on stderr only where it is asked for", async () => {
  const out = directory.path("left.safetensors");
  const { code, stderr } = await cli(
    ["train", digits, "--epochs", "2", "--validation", "0.2", ...smallTraining, "--progress", "--out", out],
    (child) => {
      child.stdout!.destroy();
    },
  );
  expect([code, existsSync(out)]).toEqual([0, true]); // the network is the result, not the lines
  expect(stderr).toMatch(/epoch 1 .*images\/s/);
  expect(stderr).not.toMatch(/EPIPE|\n +at /);
  const detector = directory.path("detector.safetensors");
  const fit = [
    "fit",
    out,
    digits,
    "--subset",
    "1500",
    "--seed",
    "3",
    "--calibration",
    "0.2",
    "--covariance",
    "ledoit-wolf",
    "--out",
    detector,
  ];
  const quiet = await good(fit);
  expect(quiet.stderr).not.toMatch(/extracting/);
  const left = await cli(["score", detector, "--data", `${digits}#train`, "--json"], (child) => child.stdout!.destroy());
  expect(left.code).toBe(0);
  expect(left.stderr).not.toMatch(/EPIPE|\n +at |interrupted/);
});
