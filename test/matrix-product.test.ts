// Float64 products of every kind that a processor may get (AVX-512 tiles, AVX2 tiles, the BLAS): libtorch's own variable
// ATEN_CPU_CAPABILITY takes the better ones away. Sizes that no tile divides, so that every kind of edge is met.

import { spawnSync } from "node:child_process";
import { packageRoot } from "../lib/package-root";

const program = `
  const { linalg } = require(${JSON.stringify(packageRoot)});
  // Low bits of a congruential generator: numbers that need no library.
  let state = 7;
  const random = () => ((state = (state * 48271) % 2147483647) / 2147483647) - 0.5;
  const [rows, columns] = [701, 301];
  (async () => {
    const data = Float64Array.from({ length: rows * columns }, random);
    const found = await linalg.covariance({ data, shape: [rows, columns] });
    const covariance = found.toArray();
    const means = new Float64Array(columns);
    for (let i = 0; i < data.length; i++) means[i % columns] += data[i] / rows;
    const centred = data.map((x, i) => x - means[i % columns]);
    let worst = 0;
    for (let i = 0; i < columns; i++) {
      for (let j = 0; j < columns; j++) {
        let sum = 0;
        for (let at = 0; at < data.length; at += columns) sum += centred[at + i] * centred[at + j];
        worst = Math.max(worst, Math.abs(covariance[i * columns + j] - sum / (rows - 1)));
      }
    }
    const { factor: lower } = await linalg.cholesky(found);
    const factor = lower.toArray();
    let residual = 0;
    for (let i = 0; i < columns; i++) {
      for (let j = 0; j <= i; j++) {
        let sum = 0;
        for (let k = 0; k <= j; k++) sum += factor[i * columns + k] * factor[j * columns + k];
        residual = Math.max(residual, Math.abs(covariance[i * columns + j] - sum));
      }
      for (let j = i + 1; j < columns; j++) residual = Math.max(residual, Math.abs(factor[i * columns + j]));
    }
    console.log(JSON.stringify({ worst, residual }));
  })();`;

// The covariances are about 1/12 on the diagonal. Sums of 701 terms of both signs: a few roundings of 1e-16.
test.each(["avx512", "avx2", "default"])("with %s, a covariance and its factor", (capability) => {
  const env = { ...process.env, ATEN_CPU_CAPABILITY: capability };
  const { stdout, stderr, status } = spawnSync(process.execPath, ["-e", program], { env, encoding: "utf8" });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  const { worst, residual } = JSON.parse(stdout) as { worst: number; residual: number };
  expect(worst).toBeLessThan(1e-14);
  expect(residual).toBeLessThan(1e-14);
});
