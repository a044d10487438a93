// The rows of a file of features with their labels, piece by piece, for what is fitted to it without loading it.

import { LibtorchOodError } from "../core/errors";
import type { Labels } from "../core/labels";
import type { ModelOutput } from "../core/model-outputs";
import type { FeaturesFile, FeaturesRows } from "../formats/features-file";
import { classesIn, labelsTensor } from "../native/labels-tensor";

/** Rows of one matrix, and the class of each. */
export interface LabelledRows {
  readonly offset: number;
  readonly rows: FeaturesRows;
  readonly labels: Labels;
}

/** What is read of a file, and where its labels come from. */
export interface LabelledChoice {
  readonly from: ModelOutput;
  /** In place of those in the file. */
  readonly labels: Labels | undefined;
  readonly signal: AbortSignal | undefined;
}

/**
 * One pass over the file.
 *
 * @throws ERR_OPTION where the matrix, or labels, are not in the file; ERR_SHAPE unless there is a label per row; and as the file's `pieces`
 */
export async function* labelledPieces(file: FeaturesFile, { from, labels, signal }: LabelledChoice): AsyncGenerator<LabelledRows> {
  requireLabels(file, labels);
  const given = labels === undefined ? undefined : labelsTensor(labels, "labels");
  try {
    if (given !== undefined && given.size !== file.length) {
      throw new LibtorchOodError("ERR_SHAPE", `labels: expected ${file.length}, one per row of ${file.path}, found ${given.size}`);
    }
    const arrays = given === undefined ? ([from, "labels"] as const) : [from];
    for await (const piece of file.pieces({ arrays, signal })) {
      const own = given?.slice(piece.offset, piece.offset + piece.count);
      yield { offset: piece.offset, rows: piece[from] as FeaturesRows, labels: own ?? (piece.labels as Int32Array) };
      own?.dispose();
    }
  } finally {
    if (given !== labels) given?.dispose();
  }
}

/** One more than the largest label. @throws as `classesIn` and {@link labelledPieces} */
export async function classesInFile(file: FeaturesFile, labels: Labels | undefined, signal: AbortSignal | undefined): Promise<number> {
  requireLabels(file, labels);
  if (labels !== undefined) return classesIn(labelsTensor(labels, "labels"), "labels");
  let classes = 0;
  for await (const piece of file.pieces({ arrays: ["labels"], signal })) {
    const tensor = labelsTensor(piece.labels as Int32Array, "labels");
    classes = Math.max(classes, classesIn(tensor, piece.offset === 0 ? "labels" : `labels from row ${piece.offset} on`));
    tensor.dispose();
  }
  return classes;
}

function requireLabels(file: FeaturesFile, labels: Labels | undefined): void {
  if (labels !== undefined || file.arrays.has("labels")) return;
  throw new LibtorchOodError("ERR_OPTION", `labels: expected them in ${file.path} or beside it, found neither`);
}
