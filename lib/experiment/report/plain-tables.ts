// Makes the tables that the paper does not have: a list of the runs, and every number of every network, whatever it was trained on.

import { scoresOf } from "../measured-scores";
import { finishedSeeds, groupBy, oodNames, setTitle, spread, trained, type Network } from "./networks";
import { spreadText } from "./numbers";

/** Text in rows and columns; the first column heads its row. */
export interface PlainTable {
  readonly caption: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** One row a network: how far its seeds are, and what was made smaller. */
export function runsTable(networks: readonly Network[]): PlainTable {
  const rows = networks.map((network) => {
    const done = finishedSeeds(network);
    const pending = [...groupBy(network.rows, (row) => row.seed)].filter(([seed]) => !done.has(seed));
    const atEpoch = pending.map(([seed, rows]) => `seed ${seed} at epoch ${Math.max(...rows.map((row) => row.epoch))}`);
    const { cell } = network;
    return [
      network.label,
      setTitle(network.inDistribution),
      `${cell.epochs} (${cell.milestones.join(", ") || "none"})`,
      String(cell.batchSize),
      [...done].join(", ") || "none",
      atEpoch.join("; ") || "–",
      network.scaled.join("; ") || "no",
    ];
  });
  return {
    caption: "The runs, by network",
    head: ["Network", "Trained on", "Epochs (milestones)", "Batch", "Seeds finished", "Under way", "Scaled"],
    rows,
  };
}

/** Every set and score of every finished network: mean ± sd over the seeds. */
export function detectionTable(networks: readonly Network[]): PlainTable {
  const rows = networks.flatMap((network) => {
    const finals = trained(network);
    return oodNames(finals).flatMap((set) =>
      scoresOf(finals).flatMap((score) => {
        const results = finals.flatMap((row) => row.ood[set]?.[score] ?? []);
        if (results.length === 0) return [];
        const numbers = (["auroc", "auprIn", "auprOut", "fpr95"] as const).map((field) => spreadText(spread(results.map((r) => r[field]))));
        const falsePositives = spreadText(spread(results.map((r) => r.falsePositives)), 1);
        return [[network.label, setTitle(set), score, ...numbers, falsePositives, String(results.length)]];
      }),
    );
  });
  return {
    caption: "Out-of-distribution detection after the last epoch, mean ± sd over seeds",
    head: ["Network", "Set", "Score", "AUROC", "AUPR in", "AUPR out", "FPR95", "False positives", "Seeds"],
    rows,
  };
}

const measures = ["nc1", "eaMeans", "eaClassifier", "enMeans", "enClassifier", "nc3", "nc4"] as const;

/** Accuracy and neural collapse of every finished network: mean ± sd over the seeds. */
export function collapseTable(networks: readonly Network[]): PlainTable {
  const rows = networks.flatMap((network) => {
    const finals = trained(network);
    if (finals.length === 0) return [];
    const numbers = measures.map((measure) => spreadText(spread(finals.map((row) => row.collapse[measure]))));
    return [[network.label, spreadText(spread(finals.map((row) => row.accuracy))), ...numbers, String(finals.length)]];
  });
  return {
    caption: "Accuracy on the test set and neural collapse on the training set after the last epoch, mean ± sd over seeds",
    head: ["Network", "Accuracy", "NC1", "EA means", "EA classifier", "EN means", "EN classifier", "NC3", "NC4", "Seeds"],
    rows,
  };
}
