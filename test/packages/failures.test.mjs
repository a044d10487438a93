// What a user reads where a part is missing, too new for the system, or there twice.

import assert from "node:assert/strict";
import { appendFileSync, copyFileSync, cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { readElf } from "../../scripts/elf.mjs";
import { addon, createProject, installedProject, library, managers, run, runtime, serveRelease, succeed, write } from "./consumer.mjs";

const askForInfo = `try { console.log(JSON.stringify(require("libtorch-ood").device.info())); }
  catch ({ code, message }) { console.log(JSON.stringify({ code, message })); }`;

const report = (directory, environment) => JSON.parse(succeed(directory, ["node", "-e", askForInfo], environment));

test("no addon, since optional packages were left out: the error names the package and the command", () => {
  const directory = createProject("no-addon");
  succeed(directory, [...managers.npm.add, "--omit=optional", library]);
  const { code, message } = report(directory);
  assert.equal(code, "ERR_IO");
  assert.match(message, new RegExp(`no native addon for .*npm install ${addon}@\\d.*--omit=optional.*scripts/build-native\\.mjs`));
  rmSync(directory, { recursive: true });
});

test("no libtorch: the error lists the places and both commands that fix it; import alone works", () => {
  const directory = createProject("no-libtorch");
  succeed(directory, [...managers.npm.add, library]);
  const { code, message } = report(directory);
  assert.equal(code, "ERR_LIBTORCH_NOT_FOUND");
  assert.match(message, /npx libtorch-ood setup --version 2\.13\.0/);
  assert.ok(message.includes(`npm install ${runtime}@~2.13`), message);
  assert.equal(succeed(directory, ["node", "-p", `typeof require("libtorch-ood").Tensor`]).trim(), "function");
  const doctor = run(directory, ["node", "node_modules/libtorch-ood/dist/cli/main.js", "doctor"]);
  assert.equal(doctor.status, 1);
  assert.match(doctor.stdout, /It does not work: ERR_LIBTORCH_NOT_FOUND/);
  rmSync(directory, { recursive: true });
});

test("an addon for another minor of libtorch is refused before it is loaded", () => {
  withChangedAddon(
    (files) => {
      const facts = JSON.parse(readFileSync(files.facts, "utf8"));
      writeFileSync(files.facts, JSON.stringify({ ...facts, libtorch: "2.12.0+cpu" }));
    },
    ({ code, message }) => {
      assert.equal(code, "ERR_LIBTORCH_VERSION");
      assert.match(message, /built for libtorch 2\.12\.0\+cpu[^]*it is version 2\.13\.0\+cpu; 2\.12 is needed/);
    },
  );
});

// The linker's own refusal, without an old system: a copy of an addon that asks for a version which no system has.
const older = [
  { file: "loader", family: "GLIBC", code: "ERR_IO", says: /too old for it: glibc 9[.9]+ is needed, and here is glibc 2\.\d+/ },
  { file: "addon", family: "GLIBC", code: "ERR_LIBTORCH_NOT_FOUND", says: /too old for it: glibc 9[.9]+ is needed/ },
  { file: "addon", family: "GLIBCXX", code: "ERR_LIBTORCH_NOT_FOUND", says: /libstdc\+\+ is too old for it: GLIBCXX_9[.9]+ is needed/ },
];
for (const { file, family, code: expected, says } of older) {
  test(`a system with too old a ${family} for the ${file} is told so`, { skip: process.platform !== "linux" }, () => {
    withChangedAddon(
      (files) => askForTheImpossible(files[file], family),
      ({ code, message }) => {
        assert.equal(code, expected);
        assert.match(message, says);
        assert.match(message, /Debian 10/);
      },
    );
  });
}

test(
  "two copies with the same addon share it; with different ones the second is refused, and the first goes on",
  { skip: process.platform !== "linux" },
  () => {
    serveRelease("0.8.0");
    serveRelease("0.9.0", (content) => appendFileSync(path.join(content, "libtorch_ood.node"), "another build"));
    const { directory: first } = installedProject();
    const directory = createProject("two");
    succeed(directory, [...managers.npm.add, library, "same@npm:libtorch-ood@0.8.0", "other@npm:libtorch-ood@0.9.0"]);
    const program = `
    const [own, same, other] = ["libtorch-ood", "same", "other"].map((name) => require(name));
    const outcome = (library) => {
      try { return library.device.info().libtorch; } catch ({ code, message }) { return { code, message }; }
    };
    const answers = [own, same, other].map(outcome);
    const { Worker } = require("node:worker_threads");
    const body = 'const { device } = require("other"); try { device.info() } catch ({ code }) { require("node:worker_threads").parentPort.postMessage(code) }';
    new Worker(body, { eval: true }).once("message", async (code) => {
      const x = own.Tensor.from(Float64Array.of(1, 2, 3, 4, 5, 9), [3, 2]);
      console.log(JSON.stringify({ answers, worker: code, still: [...(await own.linalg.covariance(x)).toArray()] }));
    });`;
    const found = succeed(directory, ["node", write(directory, "two.cjs", program)], {
      LIBTORCH_OOD_HOME: path.join(first, "node_modules", runtime),
    });
    const { answers, worker, still } = JSON.parse(found);
    assert.match(answers[0], /^2\.13/);
    assert.equal(answers[1], answers[0]);
    assert.equal(answers[2].code, "ERR_LIBTORCH_VERSION");
    assert.match(answers[2].message, /another version of libtorch-ood already[^]*npm ls libtorch-ood/);
    assert.equal(worker, "ERR_LIBTORCH_VERSION");
    assert.deepEqual(still, [4, 7, 7, 13]);
    rmSync(directory, { recursive: true });
  },
);

/** Changes the files of the installed addon, looks at what a program gets, and puts them back. */
function withChangedAddon(change, check) {
  const { directory } = installedProject();
  const place = path.join(directory, "node_modules", addon);
  const saved = `${place}.saved`;
  cpSync(place, saved, { recursive: true });
  const [loader, library, facts] = ["loader.node", "libtorch_ood.node", "build.json"].map((name) => path.join(place, name));
  try {
    change({ loader, addon: library, facts });
    check(report(directory));
  } finally {
    for (const file of [loader, library, facts]) copyFileSync(path.join(saved, path.basename(file)), file);
    rmSync(saved, { recursive: true });
  }
}

// Writes nines over the digits of one needed version, and its hash anew, by which the linker compares first.
function askForTheImpossible(file, family) {
  const { name, hashAt, nameAt } = readElf(file).versions.find(({ name }) => name.startsWith(`${family}_`));
  const impossible = name.replace(/\d/g, "9");
  const bytes = readFileSync(file);
  bytes.write(impossible, nameAt, "latin1");
  bytes.writeUInt32LE(elfHash(impossible), hashAt);
  writeFileSync(file, bytes);
}

function elfHash(text) {
  let hash = 0;
  for (const character of text) {
    hash = ((hash << 4) >>> 0) + character.charCodeAt(0);
    const high = hash & 0xf0000000;
    hash = ((high !== 0 ? hash ^ (high >>> 24) : hash) & ~high) >>> 0;
  }
  return hash;
}
