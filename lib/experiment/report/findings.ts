// States findings of the runs in sentences and tables: the effect of L2 normalisation, and which networks have learnt too little to say anything.

import { featureMixture, scoresOf, type MeasuredScore } from "../measured-scores";
import type { MeasurementRow } from "../rows";
import { oodNames, setTitle, spread, trained, type Network, type Spread } from "./networks";
import { meanText, numberText, rangeText } from "./numbers";
import type { PlainTable } from "./plain-tables";

/** Two networks that differ in L2 normalisation alone. */
interface Pair {
  /** What they have in common. */
  readonly name: string;
  readonly without: Network;
  readonly withL2: Network;
}

/** The sets that the library reads, of which older results do not say how many classes they have. */
const classCounts = new Map([
  ["cifar100", 100],
  ...["cifar10", "svhn", "mnist", "fashion-mnist", "kmnist"].map((set) => [set, 10] as const),
]);

const mostSentences = 2;
/** Half of the last decimal that is written: what is nearer to zero is rounding, or nothing that any of these runs could show. */
const shownDifference = 0.0005;

/** One sentence a pair of networks, or a set of numbers a network where there is no pair; empty where nothing is finished. */
export function findings(networks: readonly Network[]): string[] {
  const pairs = pairsOf(networks);
  if (pairs.length > 0) {
    const more = pairs.length > mostSentences ? [`The tables of differences have ${pairs.length - mostSentences} more.`] : [];
    return [...pairs.slice(0, mostSentences).map(pairSentence), ...more];
  }
  return networks.flatMap((network) => {
    const finals = trained(network);
    if (finals.length === 0) return [];
    const areas = oodNames(finals).flatMap((set) => {
      const found = areaOf(finals, set, featureMixture);
      return found === undefined ? [] : [`${meanText(found)} on ${setTitle(set)}`];
    });
    const right = spread(finals.map((row) => row.accuracy)) as Spread;
    const told = areas.length === 0 ? "" : `AUROC of the Gaussian mixture ${listed(areas)}; `;
    return [`${network.label}: ${told}accuracy ${meanText(right)} (${seedCount(finals.length)}).`];
  });
}

function pairSentence({ name, without, withL2 }: Pair): string {
  const [plain, normal] = [trained(without), trained(withL2)];
  const clauses = oodNames([...plain, ...normal]).flatMap((set) => {
    const [a, b] = [areaOf(plain, set, featureMixture), areaOf(normal, set, featureMixture)];
    if (a === undefined || b === undefined) return [];
    const difference = b.mean - a.mean;
    const level = Math.abs(difference) < shownDifference;
    const lead = level ? "level" : difference > 0 ? "ahead" : "behind";
    const by = level ? "" : ` by ${numberText(Math.abs(difference))}`;
    return [`${lead} on ${setTitle(set)}${by} (${numberText(b.mean)} against ${numberText(a.mean)}, ${uncertainty(b, a)})`];
  });
  if (clauses.length === 0) return `${name}: no Gaussian mixture was measured with and without L2 normalisation.`;
  const right = [plain, normal].map((rows) => spread(rows.map((row) => row.accuracy)) as Spread) as [Spread, Spread];
  return `${name}: L2 is ${listed(clauses)} in AUROC of the Gaussian mixture; accuracy ${numberText(right[1].mean)} against ${numberText(right[0].mean)}.`;
}

/** "2 seeds, ranges overlap": without a second seed nothing is known of chance. */
function uncertainty(a: Spread, b: Spread): string {
  const seeds = a.count === b.count ? seedCount(a.count) + (a.count === 1 ? " each" : "") : `${a.count} and ${b.count} seeds`;
  const ranges = rangesText(a, b);
  return `${seeds}, ${ranges === "unknown" ? "spread unknown" : `ranges ${ranges}`}`;
}

function rangesText(a: Spread, b: Spread): "unknown" | "overlap" | "apart" {
  if (a.count === 1 && b.count === 1) return "unknown";
  return a.min <= b.max && b.min <= a.max ? "overlap" : "apart";
}

/** A table a pair of networks, L2 less none: AUROC of every set and score, and accuracy. */
export function differenceTables(networks: readonly Network[]): PlainTable[] {
  return pairsOf(networks).map(({ name, without, withL2 }) => {
    const [plain, normal] = [trained(without), trained(withL2)];
    const line = (set: string, what: string, value: (row: MeasurementRow) => number | undefined): string[][] => {
      const [a, b] = [plain, normal].map((found) => spread(found.flatMap((row) => value(row) ?? [])));
      if (a === undefined || b === undefined) return [];
      const difference = b.mean - a.mean;
      const text = Math.abs(difference) < shownDifference ? "0.000" : `${difference > 0 ? "+" : ""}${numberText(difference)}`;
      return [[setTitle(set), what, text, cellText(b), cellText(a), rangesText(a, b)]];
    };
    return {
      caption: `What L2 normalisation changes, ${name}: means over seeds with the smallest and largest`,
      head: ["Set", "Number", "Difference", "L2", "No L2", "Ranges"],
      rows: [
        ...oodNames([...plain, ...normal]).flatMap((set) =>
          scoresOf([...plain, ...normal]).flatMap((score) => line(set, `AUROC, ${score}`, (row) => row.ood[set]?.[score]?.auroc)),
        ),
        ...line(withL2.inDistribution, "accuracy", (row) => row.accuracy),
      ],
    };
  });
}

function cellText(found: Spread): string {
  return found.count === 1 ? numberText(found.mean) : `${numberText(found.mean)} (${rangeText(found)})`;
}

/**
 * A sentence a network that has learnt little: AUROCs of such are near a half whatever is compared. The bar is a third of the way from guessing to
 * always right.
 *
 * @param classes of the in-distribution set, where the results say it
 */
export function weakNetworks(networks: readonly Network[], classes: number | undefined): string[] {
  return networks.flatMap((network) => {
    const right = spread(trained(network).map((row) => row.accuracy));
    const count = classes ?? classCounts.get(network.inDistribution);
    if (right === undefined || count === undefined) return [];
    const chance = 1 / count;
    if (right.mean >= chance + (1 - chance) / 3) return [];
    return [`${network.label} names the class of ${percent(right.mean)} of the test images; guessing names ${percent(chance)}.`];
  });
}

function percent(share: number): string {
  return `${Number((100 * share).toPrecision(2))} %`;
}

/** Finished networks of equal cells but for L2, in the order in which they come. */
function pairsOf(networks: readonly Network[]): Pair[] {
  const finished = networks.filter((network) => trained(network).length > 0);
  const others = (network: Network): string => {
    const { depth, spectralNorm, avgPoolShortcut, paperEpochs, epochs, milestones, batchSize, width, featureDim } = network.cell;
    return JSON.stringify([
      network.inDistribution,
      depth,
      spectralNorm,
      avgPoolShortcut,
      paperEpochs,
      epochs,
      milestones,
      batchSize,
      width,
      featureDim,
    ]);
  };
  return finished.flatMap((withL2): Pair[] => {
    if (!withL2.cell.l2Normalize) return [];
    const without = finished.find((other) => !other.cell.l2Normalize && others(other) === others(withL2));
    return without === undefined ? [] : [{ name: withL2.label.replace(/ L2(?= |$)/, ""), without, withL2 }];
  });
}

function areaOf(rows: readonly MeasurementRow[], set: string, score: MeasuredScore): Spread | undefined {
  return spread(rows.flatMap((row) => row.ood[set]?.[score]?.auroc ?? []));
}

function seedCount(count: number): string {
  return `${count} ${count === 1 ? "seed" : "seeds"}`;
}

function listed(parts: readonly string[]): string {
  return parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
}
