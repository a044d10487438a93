// Scores that a row's own numbers give are made natively: they are the metrics' formulas, whose exponential is JavaScript's.

import * as metrics from "../../lib/metrics";
import { scoreRows } from "../../lib/scores/rows";
import { Tensor } from "../../lib/native/tensor";
import { uniform } from "../models/resnet/closed-formula";

const formulas = {
  "max-softmax": metrics.softmaxConfidence,
  entropy: (logits, options) => metrics.softmaxEntropy(logits, options).map((value) => -value),
  energy: metrics.energy,
  "max-logit": (logits) => metrics.maxLogit(logits),
  "predicted-class": (logits) => metrics.predictedClass(logits),
} satisfies Record<string, (logits: { data: Float64Array; shape: number[] }, options: { temperature: number }) => ArrayLike<number>>;

// Either exponential is right to an ulp. An energy is the sum of the largest logit and a multiple of a logarithm, which may cancel: what is rounded are they.
test.each(Object.entries(formulas))("%s: the metrics' numbers to 1e-15", async (name, formula) => {
  for (const [rows, columns] of [
    [5000, 10],
    [60, 1000],
    [7, 1],
  ] as const) {
    const data = uniform(`${name} ${columns}`, rows * columns).map((value) => 30 * (value - 0.5));
    for (const temperature of [0.5, 1, 30]) {
      const wanted = Float64Array.from(formula({ data, shape: [rows, columns] }, { temperature }));
      const found = await scoreRows(Tensor.from(data, [rows, columns]), "logits", name as keyof typeof formulas, { temperature });
      found.forEach((value, i) => {
        const expected = wanted[i] as number;
        const top = Math.max(...data.subarray(i * columns, (i + 1) * columns).map(Math.abs));
        const scale = Math.max(Math.abs(expected), name === "energy" ? top : 0);
        if (!(Math.abs(value - expected) <= 1e-15 * scale)) expect({ i, value }).toEqual({ i, value: expected });
      });
    }
  }
});

test("the rows are those at the call: the caller may dispose of them at once", async () => {
  const matrix = Tensor.from(new Float32Array(6).fill(2), [2, 3]);
  const scored = scoreRows(matrix, "logits", "max-logit");
  matrix.dispose();
  expect([...(await scored)]).toEqual([2, 2]);
});

test.each([NaN, Infinity, -Infinity])("%p is named with its row", async (value) => {
  const data = new Float32Array(300_000).fill(1);
  data[200_001] = value;
  await expect(scoreRows(Tensor.from(data, [100_000, 3]), "logits", "energy")).rejects.toMatchObject({
    code: "ERR_NON_FINITE",
    message: `logits: expected finite numbers, found ${value} in row 66667`,
  });
});
