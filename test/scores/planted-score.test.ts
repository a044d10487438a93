// A score is one file: planted into a copy of the package, it is in types, detectors, files, the command line, the contract's tests and the guide's
// table, with no other edit.

import { spawn } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { packageRoot } from "../../lib/core/package-root";
import { writeSafetensors } from "../../lib/formats";
import { uniform } from "../models/resnet/closed-formula";
import { temporaryDirectory } from "../support/temporary-directory";

const directory = temporaryDirectory();
const at = (name: string): string => directory.path(name);

interface Ending {
  code: number | null;
  output: string;
}

function node(...args: string[]): Promise<Ending> {
  const child = spawn(process.execPath, args, { cwd: at("."), env: { ...process.env, OMP_NUM_THREADS: "1" } });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, output }));
  });
}

async function good(...args: string[]): Promise<string> {
  const { code, output } = await node(...args);
  if (code !== 0) throw new Error(`node ${args.join(" ")}: ${code}\n${output}`);
  return output;
}

const cli = (...args: string[]) => good(join("dist", "cli", "main.js"), ...args);

const classes = 4;

/** Logits of so many inputs, `own` higher for the class of each; features beside them, which the score does not look at. */
async function writeOutputs(name: string, rows: number, own: number): Promise<void> {
  const noise = uniform(name, rows * (classes + 2));
  const logits = Float64Array.from({ length: rows * classes }, (_, i) => {
    return (Math.floor(i / classes) % classes === i % classes ? own : 0) + (noise[i] as number);
  });
  const labels = BigInt64Array.from({ length: rows }, (_, i) => BigInt(i % classes));
  await writeSafetensors(at(`${name}.safetensors`), [
    { name: "logits", dtype: "F64", shape: [rows, classes], data: logits },
    { name: "features", dtype: "F64", shape: [rows, 2], data: noise.slice(rows * classes) },
    { name: "labels", dtype: "I64", shape: [rows], data: labels },
  ]);
}

beforeAll(async () => {
  const copied = [
    "lib",
    "package.json",
    "tsconfig.json",
    "jest.config.js",
    "docs/guide/choosing-a-score.md",
    "docs/design/scores.md",
    "test/support",
    "test/reference",
  ];
  const scripts = ["build-ts", "open-handles", "score-index", "score-table"].map((name) => `scripts/${name}.mjs`);
  const tests = ["test/scores/contract.test.ts", "test/models/resnet/closed-formula.ts"];
  for (const name of [...copied, ...scripts, ...tests]) {
    mkdirSync(dirname(at(name)), { recursive: true });
    cpSync(join(packageRoot, name), at(name), { recursive: true });
  }
  for (const name of ["node_modules", "build", "native"]) symlinkSync(join(packageRoot, name), at(name), "dir");
  const score = readFileSync(join(__dirname, "planted", "centred-logit.ts"), "utf8");
  const moved = score.replaceAll("../../../lib/scores/", "../").replaceAll("../../../lib/", "../../");
  writeFileSync(at("lib/scores/definitions/centred-logit.ts"), moved); // the one file
  await Promise.all([
    good("scripts/build-ts.mjs"),
    writeOutputs("training", 200, 6),
    writeOutputs("calibration", 100, 6),
    writeOutputs("test", 100, 6),
    writeOutputs("strange", 100, 0),
  ]);
}, 120_000);

test("scores.fit and Detector take it, and a file gives it back with the same verdicts", async () => {
  directory.put(
    "program.mjs",
    `
    import { Detector, files, scores } from "./dist/index.mjs";
    const read = async (name) => {
      const { tensors } = await files.readSafetensors(name + ".safetensors");
      const { shape, data } = tensors.get("logits");
      return { logits: { shape, data: files.toValues("F64", data) } };
    };
    const [training, calibration, test] = await Promise.all(["training", "calibration", "test"].map(read));
    const score = await scores.fit("centred-logit", training, { share: 0.5 });
    const detector = await Detector.fromFeatures({ ...training, calibration, score: "centred-logit", scoreOptions: { share: 0.5 } });
    const verdicts = await detector.predict(test);
    await detector.save("detector.safetensors");
    const loaded = await Detector.load("detector.safetensors");
    const refused = await scores.fit("centred-logit", training, { share: 2 }).catch(({ code, message }) => code + " " + message);
    console.log(JSON.stringify({
      listed: scores.names.includes("centred-logit"),
      requirements: scores.requirements("centred-logit"),
      share: score.share,
      direct: [...(await score.score(test))],
      logits: [...test.logits.data],
      verdicts,
      reloaded: await loaded.predict(test),
      refused,
    }));
    `,
  );
  const found = JSON.parse(await good("program.mjs"));
  expect(found).toMatchObject({ listed: true, requirements: { fit: ["logits"], score: ["logits"] }, share: 0.5 });
  expect(found.refused).toBe("ERR_RANGE share: expected 0 to 1, found 2");
  expect(found.verdicts.map(({ score }: { score: number }) => score)).toEqual(found.direct);
  expect(found.reloaded).toEqual(found.verdicts);
  // The class's own logit is about 6, and about 6 in 4 on average, of which half is subtracted.
  for (const value of found.direct) expect(Math.abs(value - (6 - 0.75))).toBeLessThan(1.2);
});

test("the command line fits, scores and evaluates with it and its option", async () => {
  const fitted = ["--features", "training.safetensors", "--calibration", "calibration.safetensors", "--out", "by-command.safetensors"];
  await cli("fit", ...fitted, "--score", "centred-logit", "--score-option", "share=0.5");
  const verdicts = (await cli("score", "by-command.safetensors", "--features", "strange.safetensors", "--json")).trim().split("\n");
  const flagged = verdicts.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line).outOfDistribution);
  expect(flagged).toEqual(Array.from({ length: 100 }, () => true));
  const sets = ["--test", "test.safetensors", "--ood", "strange.safetensors"];
  const evaluated = ["evaluate", "training.safetensors", "--score", "centred-logit,energy", "--score-option", "centred-logit.share=0.5"];
  expect(await cli(...evaluated, ...sets)).toMatch(/^centred-logit +1\.0000/m);
  const wrong = await node(join("dist", "cli", "main.js"), ...evaluated.slice(0, -1), "centred-logit.share=2", ...sets);
  expect(wrong.output).toContain("ERR_RANGE: share: expected 0 to 1, found 2");
  expect(await cli("evaluate", "--help")).toContain("share: a number, 0 to 1 (centred-logit)");
});

test("its options are typed, and no others", async () => {
  directory.put(
    "types.ts",
    `
    import { Detector, scores, type Tensor } from "./dist/index.js";
    declare const logits: Tensor;
    const share: Promise<number> = scores.fit("centred-logit", { logits }, { share: 0.5 }).then((score) => score.share);
    const detector: Promise<Detector> = Detector.fromFeatures({
      logits,
      calibration: { logits },
      score: "centred-logit",
      scoreOptions: { share: 0.5 },
    });
    // @ts-expect-error
    scores.fit("centred-logit", { logits }, { share: "0.5" });
    // @ts-expect-error
    scores.fit("centred-logit", { logits }, { temperature: 2 });
    export { detector, share };
    `,
  );
  const options = "--noEmit --strict --target es2022 --lib es2022,esnext.disposable --module node16 --moduleResolution node16 --types node";
  expect(await node("node_modules/typescript/bin/tsc", ...options.split(" "), "--skipLibCheck", "types.ts")).toEqual({
    code: 0,
    output: "",
  });
});

test("the contract of all scores holds for it", async () => {
  const output = await good("node_modules/jest/bin/jest.js", "test/scores/contract", "-t", "centred-logit|there is a score for each file");
  expect(output).toMatch(/Tests: +\d+ skipped, 10 passed/);
});

test("the tables of the pages have its rows", async () => {
  expect((await node("scripts/score-table.mjs", "--check")).code).toBe(1);
  await good("scripts/score-table.mjs");
  const guide = readFileSync(at("docs/guide/choosing-a-score.md"), "utf8");
  expect(guide).toContain("| `centred-logit` | a test plants it | `logits` |");
  const design = readFileSync(at("docs/design/scores.md"), "utf8");
  expect(design).toContain("| `centred-logit` | max_c (l_c − s·m_c) | `logits` | `logits` | C per input | planted 2026 |");
  expect(design).toContain("| `share` | `centred-logit` | a number, 0 to 1 | `1` | The share of the mean that is subtracted. |");
});
