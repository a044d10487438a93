// The score `nearest-neighbours`: the negative distance to the k-th nearest training feature.

import { LibtorchOodError } from "../../core/errors";
import { integersOf, type Labels } from "../../core/labels";
import type { ModelOutput } from "../../core/model-outputs";
import { callNative, runNative } from "../../native/call";
import { labelsTensor } from "../../native/labels-tensor";
import { native, type NativeNearestNeighbours } from "../../native/surface";
import { Tensor } from "../../native/tensor";
import { defineScore, type Fitted } from "../define";
import { booleanOption, deviceOption, fromFact, fromOption, integerOption } from "../option";
import { damaged, restoring, storedInteger, storedOption } from "../stored";

/** The default 50 is OpenOOD's for CIFAR; the paper chooses k on validation data. */
const kOption = integerOption({
  minimum: 1,
  default: 50,
  description: "Which neighbour's distance counts, at most the number of training features. `warnings` says where it exceeds a class.",
});

/** The default is true because the paper finds normalisation decisive. */
const normalizeOption = booleanOption({
  default: true,
  description: "Divide every feature by its length first; one of zeros stays.",
});

/**
 * −‖z/‖z‖ − z_k/‖z_k‖‖₂ with z_k the k-th nearest training feature (Sun et al. 2022; OpenOOD gives the square in float32, which orders inputs alike).
 * The search is exact: matrix products in float32 with a bound on their rounding leave a few candidates, whose distances are computed again in float64
 * from differences. If many candidates are left, as under collapse, finer products come in between.
 * The score keeps all training features, in the dtype they came in. If k exceeds the samples of a class, distances of that class's own inputs are to
 * other classes; `warnings` says so if the training outputs had `labels`.
 */
export const nearestNeighbours = defineScore({
  name: "nearest-neighbours",
  formula: "−‖z/‖z‖ − z_k/‖z_k‖‖₂, z_k the k-th nearest training feature",
  source: "Sun et al. 2022",
  cost: "N·d per input, all N training features in memory and in the file",
  chooseWhere: "classes are not compact, there are no labels, or the features are another model's",
  options: { k: kOption, normalize: normalizeOption, from: fromOption, device: deviceOption },
  facts: {
    from: fromFact,
    k: "Which neighbour's distance counts.",
    normalize: "Whether features are divided by their length.",
    smallestClass: "Samples of the smallest class; undefined where labels were not given.",
  },
  needs: ({ from }) => ({ fit: [from], score: [from] }),
  multiplications: ({ rows, columns, inputs }) => inputs * rows * columns,
  async fit(given, { k, normalize, from, device, signal }) {
    const rows = given[from].shape[0] as number;
    if (k > rows) throw new LibtorchOodError("ERR_RANGE", `k: expected at most ${rows}, as there are training features, found ${k}`);
    const { labels } = given as { labels?: Labels };
    const smallestClass = labels === undefined ? undefined : smallestCount(labels, rows);
    const handle = callNative(() => new (native().NearestNeighbours)(device));
    const features = Tensor.handle(given[from], from);
    await runNative(signal, (control) => handle.fit(control, features, { k, normalize }));
    return fitted(handle, { from, k, normalize, smallestClass });
  },
  async restore({ description, tensors }, device, where) {
    const from = storedOption(description, "from", fromOption, where);
    const k = storedOption(description, "k", kOption, where);
    const normalize = storedOption(description, "normalize", normalizeOption, where);
    const points = tensors.find(({ name }) => name === "points")?.tensor;
    if (points === undefined) damaged(where, "points", "an array of that name", undefined);
    const handle = callNative(() => new (native().NearestNeighbours)(device));
    await restoring(where, () => runNative(undefined, (control) => handle.fit(control, points, { k, normalize })));
    // Absent where the score was fitted without labels.
    const smallestClass = description.smallestClass === undefined ? undefined : storedInteger(description, "smallestClass", 1, where);
    const [rows] = points.shape as [number];
    if (smallestClass !== undefined && smallestClass > rows) damaged(where, "smallestClass", `at most ${rows}`, smallestClass);
    return fitted(handle, { from, k, normalize, smallestClass });
  },
});

interface Facts {
  from: ModelOutput;
  k: number;
  normalize: boolean;
  smallestClass: number | undefined;
}

function fitted(handle: NativeNearestNeighbours, facts: Facts): Fitted<Facts> {
  const { from, k, smallestClass } = facts;
  return {
    facts,
    warnings:
      smallestClass === undefined || k <= smallestClass
        ? []
        : [`k is ${k}, but the smallest class has ${smallestClass} samples: the distances of its own inputs are to other classes`],
    async score(given, signal) {
      const features = Tensor.handle(given[from], from);
      const distances = await runNative(signal, (control) => handle.distances(control, features));
      return (distances.toTypedArray() as Float64Array).map((distance) => -distance);
    },
    async state() {
      return { description: { ...facts }, tensors: await runNative(undefined, (control) => handle.state(control)) };
    },
    dispose: () => handle.dispose(),
  };
}

/** Samples of the smallest class that has any. @throws ERR_SHAPE unless there is a label per row, ERR_DTYPE */
function smallestCount(labels: Labels, rows: number): number {
  const list = integersOf(labelsTensor(labels, "labels"), "labels");
  if (list.length !== rows) throw new LibtorchOodError("ERR_SHAPE", `labels: expected ${rows}, one per row, found ${list.length}`);
  const counts = new Map<number | bigint, number>();
  for (let i = 0; i < list.length; i++) counts.set(list[i] as number, (counts.get(list[i] as number) ?? 0) + 1);
  return [...counts.values()].reduce((least, count) => Math.min(least, count));
}
