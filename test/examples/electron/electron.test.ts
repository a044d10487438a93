// examples/electron under Node: its main process, detector's process, preload script and page, with a small stand-in for Electron. What this cannot
// show: Electron's own process model, sandbox and packing.

import { cpSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import type { Prediction } from "../../../lib";
import { packageRoot } from "../../../lib/core/package-root";
import { program } from "../../cli/command";
import { temporaryDirectory } from "../../support/temporary-directory";
import { useOneThread } from "../../models/resnet/tiny-network";
import { writeDigitDetector } from "../digit-detector";

useOneThread();
const directory = temporaryDirectory();
const example = join(packageRoot, "examples", "electron");

interface Answer {
  value?: Prediction;
  problem?: string;
  thrown?: string;
}

interface Page {
  status: number;
  type: string;
  policy: string;
}

interface Result {
  missing: Answer;
  about: unknown;
  verdicts: Answer[];
  garbage: Answer;
  refused: Answer[];
  foreign: Answer[];
  many: Answer[];
  interrupted: Answer;
  afterwards: Answer;
  children: string[];
  page: Page;
  script: Page;
  elsewhere: number[];
  window: unknown;
  open: unknown;
  prevented: boolean[];
  permission: boolean;
  permissionCheck: boolean;
  pageAbout: string;
  drops: { looking: string; verdict: string; problem: string; stays: boolean }[];
  quit: boolean;
}

let result: Result;
let answers: Prediction[];

beforeAll(async () => {
  const app = directory.path("app");
  cpSync(example, app, { recursive: true, filter: (path) => !path.includes("node_modules") });
  cpSync(join(__dirname, "stand-in"), join(app, "node_modules", "electron"), { recursive: true });
  cpSync(join(__dirname, "drive.mjs"), join(app, "drive.mjs"));
  symlinkSync(packageRoot, join(app, "node_modules", "libtorch-ood"));
  symlinkSync(join(packageRoot, "node_modules", "linkedom"), join(app, "node_modules", "linkedom"));
  const made = await writeDigitDetector(join(app, "detector.safetensors"), directory.path("images"), 3);
  answers = made.answers;
  const ending = await program(join(app, "drive.mjs"), made.images, undefined, app);
  if (ending.code !== 0) throw new Error(`code ${ending.code}, signal ${ending.signal}\n${ending.stdout}\n${ending.stderr}`);
  result = JSON.parse(ending.stdout) as Result;
});

test("an image is answered as the library answers it", () => {
  expect(result.about).toEqual({ value: { classNames: Array.from({ length: 10 }, (_, i) => String(i)), maxBytes: 20 * 2 ** 20 } });
  expect(result.verdicts).toHaveLength(3);
  result.verdicts.forEach(({ value }, i) => {
    const { label, outOfDistribution, score } = answers[i]!;
    expect(value).toMatchObject({ label, outOfDistribution });
    expect(value!.score).toBeCloseTo(score, 4);
  });
});

test("errors reach the user in plain words, without codes or paths", () => {
  expect(result.garbage.problem).toMatch(/cannot be read as an image/);
  expect(result.missing.problem).toMatch(/detector\.safetensors.*is missing/);
  expect(result.refused.map(({ problem }) => problem)).toEqual([
    expect.stringMatching(/no file/),
    expect.stringMatching(/no file/),
    expect.stringMatching(/empty/),
    expect.stringMatching(/too large/),
  ]);
  for (const { problem } of [result.garbage, result.missing, ...result.refused]) expect(problem).not.toMatch(/ERR_|\/|undefined/);
});

test("only the page itself is answered", () => {
  expect(result.foreign.map(({ thrown }) => thrown)).toEqual([
    "detector:check: refused to https://example.org/",
    "detector:check: refused to detector://page/",
    "detector:check: refused to a frame that is gone",
  ]);
});

test("questions are limited, and the end of the detector's process is survived", () => {
  expect(result.many.filter(({ value }) => value?.label === answers[0]!.label)).toHaveLength(8);
  expect(result.many.at(-1)!.problem).toMatch(/several images/);
  expect(result.interrupted.problem).toMatch(/stopped in the middle/);
  expect(result.afterwards.value).toMatchObject({ label: answers[0]!.label });
  expect(result.children).toEqual(["Detector", "Detector"]);
  expect(result.quit).toBe(true);
});

test("the page is isolated, sandboxed, and may do nothing but show itself", () => {
  expect(result.window).toEqual({
    preferences: { contextIsolation: true, sandbox: true, nodeIntegration: false },
    preload: true,
    sandbox: true,
    schemes: [{ scheme: "detector", privileges: { standard: true, secure: true } }],
  });
  expect(result.page).toMatchObject({ status: 200, type: "text/html; charset=utf-8" });
  expect(result.script).toMatchObject({ status: 200, type: "text/javascript; charset=utf-8" });
  const policy = new Map(result.page.policy.split("; ").map((part) => [part.split(" ")[0], part.split(" ").slice(1).join(" ")]));
  expect(Object.fromEntries(policy)).toEqual({
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "blob:",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
  });
  expect(result.elsewhere).toEqual([404, 404, 404, 404, 404, 404]);
  expect(result.open).toEqual({ action: "deny" });
  expect(result.prevented).toEqual([true, true]);
  expect([result.permission, result.permissionCheck]).toEqual([false, false]);
});

test("the page: a dropped digit gets its verdict, a wrong file a sentence", () => {
  expect(result.pageAbout).toBe("It knows 10 kinds of images: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9");
  const [digit, noImage, large] = result.drops;
  expect(digit).toMatchObject({ looking: "Looking …", problem: "", stays: true });
  const { className, outOfDistribution } = answers[0]!;
  expect(digit!.verdict).toMatch(
    outOfDistribution ? `Nothing it knows. It would say ${className}` : new RegExp(`^${className} \\(\\d+ % sure\\)\\.$`),
  );
  expect(noImage).toMatchObject({ verdict: "", problem: expect.stringMatching(/cannot be read as an image/) as string });
  expect(large).toMatchObject({ verdict: "", problem: expect.stringMatching(/up to 20 MB/) as string });
});

test("what electron-builder is told: the addons and their libraries are outside the archive, and nothing is rebuilt", () => {
  const config = parse(readFileSync(join(example, "electron-builder.yml"), "utf8")) as Record<string, unknown>;
  expect(config).toMatchObject({ asar: true, npmRebuild: false });
  expect(config.asarUnpack).toEqual(expect.arrayContaining(["node_modules/@libtorch-ood/**", "node_modules/@img/**"]));
  const mac = config.mac as { entitlements: string; hardenedRuntime: boolean };
  expect(mac.hardenedRuntime).toBe(true);
  expect(readFileSync(join(example, mac.entitlements), "utf8")).toContain("com.apple.security.cs.allow-jit");
});
