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
    // The product of a [n, m] and b [m, n].
    const product = (a, b, n, m) =>
      Float64Array.from({ length: n * n }, (_, at) => {
        const [i, j] = [Math.floor(at / n), at % n];
        let sum = 0;
        for (let k = 0; k < m; k++) sum += a[i * m + k] * b[k * n + j];
        return sum;
      });
    const apart = (a, b) => a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i])), 0);
    const identity = Float64Array.from({ length: columns ** 2 }, (_, at) => (at % (columns + 1) === 0 ? 1 : 0));
    const left = (await linalg.pinv({ data, shape: [rows, columns] })).toArray();
    const inverse = apart(product(left, data, columns, rows), identity);
    // The covariance less half its mean variance has eigenvalues of both signs; the 100 largest in magnitude are kept.
    const indefinite = covariance.map((x, at) => (at % (columns + 1) === 0 ? x - 1 / 24 : x));
    const kept = (await linalg.pinv({ data: indefinite, shape: [columns, columns] }, { hermitian: true, rank: 100 })).toArray();
    const again = product(product(kept, indefinite, columns, columns), kept, columns, columns);
    const hermitian = { inverse: apart(again, kept), mirror: apart(kept, kept.map((_, at) => kept[(at % columns) * columns + Math.floor(at / columns)])) };
    let trace = 0;
    product(kept, indefinite, columns, columns).forEach((x, at) => (trace += at % (columns + 1) === 0 ? x : 0));
    console.log(JSON.stringify({ worst, residual, inverse, hermitian, trace }));
  })();`;

// The covariances are about 1/12 on the diagonal. Sums of 701 terms of both signs: a few roundings of 1e-16.
test.each(["the best there is", "avx2", "default"])("with %s, a covariance, its factor, and pseudoinverses", (capability) => {
  const env = capability === "the best there is" ? process.env : { ...process.env, ATEN_CPU_CAPABILITY: capability };
  const { stdout, stderr, status } = spawnSync(process.execPath, ["-e", program], { env, encoding: "utf8" });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  const { worst, residual, inverse, hermitian, trace } = JSON.parse(stdout) as Record<
    "worst" | "residual" | "inverse" | "trace",
    number
  > & {
    hermitian: { inverse: number; mirror: number };
  };
  expect(worst).toBeLessThan(1e-14);
  expect(residual).toBeLessThan(1e-14);
  // Of magnitude 1 with a condition number of 5, and of magnitude 20.
  expect(inverse).toBeLessThan(1e-13);
  expect(hermitian.inverse).toBeLessThan(1e-12);
  expect(hermitian.mirror).toBeLessThan(1e-13);
  expect(trace).toBeCloseTo(100, 9);
});
