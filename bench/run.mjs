// `npm run bench [-- --rounds 5] [-- --only text] [-- --document]`: ours beside the Python peers in alternation; a table, and build/bench.json. With
// --document also into docs/results/benchmarks.md, for processors of this kind.

import { mkdirSync, writeFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { device } from "libtorch-ood";
import { duration, readNumbers, writeNumbers } from "../scripts/results-pages.mjs";
import { Peer } from "./peer-process.mjs";
import { rows } from "./rows.mjs";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    only: { type: "string", default: "" },
    document: { type: "boolean", default: false },
  },
});
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds: expected a whole number from 1 on, found ${values.rounds}`);

const peer = new Peer();
const about = await peer.ask({ operation: "about" });
const info = device.info();
console.log(
  `ours: libtorch ${info.libtorch}, ${info.cpuCapability}${info.bfloat16 ? " with bfloat16" : ""}, ${info.threads} threads; ` +
    `peer: PyTorch ${about.torch}, scikit-learn ${about.sklearn}, Python ${about.python}, ${about.threads} threads; medians of ${rounds}\n`,
);

const results = [];
for (const row of rows.filter(({ name }) => name.includes(values.only))) {
  const ours = [];
  const peers = [];
  const run = await row.prepare(peer);
  const ask = async (warmUp) => (await peer.ask({ ...row.request, repeats: 1, warmUp })).seconds[0];
  const longest = Math.max(await run(), await ask(0)); // warm-up
  const short = longest < 0.5;
  for (let round = 0; round < rounds; round++) {
    await pause(50); // OpenMP threads of either side spin for some 10 ms after its work, on the cores that the other needs
    if (short) await run();
    ours.push(await run());
    await pause(50);
    peers.push(await ask(short ? 1 : 0));
  }
  await peer.ask({ operation: "forget" });
  const [ours_s, peer_s] = [median(ours), median(peers)];
  const result = { name: row.name, ours_s, peer_s, ratio: peer_s / ours_s, peer: row.peer };
  results.push(result);
  console.log(`${result.ratio.toFixed(2).padStart(7)} ×  ${row.name}: ${duration(ours_s)} (${duration(peer_s)}: ${row.peer})`);
}
await peer.close();
const file = new URL("../build/bench.json", import.meta.url);
mkdirSync(new URL(".", file), { recursive: true });
writeFileSync(file, JSON.stringify(results, undefined, 2) + "\n");
console.log("\nratio = peer / ours: above 1, this library is faster. Written to build/bench.json");
if (values.document) document(results);

/** Rows that were not measured, with --only, stay as an earlier run left them. */
function document(measured) {
  const numbers = readNumbers("benchmarks");
  const kind = info.bfloat16 ? "avx512-bf16" : info.cpuCapability.toLowerCase();
  const earlier = numbers[kind]?.rows ?? [];
  const current = rows.flatMap((row) =>
    [measured, earlier].flatMap((all) => all.filter(({ name, peer }) => name === row.name && peer === row.peer)).slice(0, 1),
  );
  writeNumbers("benchmarks", { ...numbers, [kind]: { kind: "benchmark", rows: current } });
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
