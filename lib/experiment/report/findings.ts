// What the runs say, in sentences and differences: L2 normalisation against none, and which networks have learnt too little to say anything.

import type { MeasuredScore, MeasurementRow } from "../rows";
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

/** One sentence a pair of networks, or a set of numbers a network where there is no pair; empty where nothing is finished. */
export function findings(networks: readonly Network[]): string[] {
  const pairs = pairsOf(networks);
  if (pairs.length > 0) {
    const more = pairs.length > mostSentences ? [`The table of differences has ${pairs.length - mostSentences} more.`] : [];
    return [...pairs.slice(0, mostSentences).map(pairSentence), ...more];
  }
  return networks.flatMap((network) => {
    const finals = trained(network);
    if (finals.length === 0) return [];
    const areas = oodNames(finals).flatMap((set) => {
      const found = areaOf(finals, set, "mixture");
      return found === undefined ? [] : [`${meanText(found)} on ${setTitle(set)}`];
    });
    const right = spread(finals.map((row) => row.accuracy)) as Spread;
    const told = areas.length === 0 ? "" : `AUROC of the mixture ${listed(areas)}; `;
    return [`${network.label}: ${told}accuracy ${meanText(right)} (${seedCount(finals.length)}).`];
  });
}

function pairSentence({ name, without, withL2 }: Pair): string {
  const [plain, normal] = [trained(without), trained(withL2)];
  const clauses = oodNames([...plain, ...normal]).flatMap((set) => {
    const [a, b] = [areaOf(plain, set, "mixture"), areaOf(normal, set, "mixture")];
    if (a === undefined || b === undefined) return [];
    const difference = b.mean - a.mean;
    const lead = difference === 0 ? "level" : difference > 0 ? "ahead" : "behind";
    const by = difference === 0 ? "" : ` by ${numberText(Math.abs(difference))}`;
    return [`${lead} on ${setTitle(set)}${by} (${numberText(b.mean)} against ${numberText(a.mean)}, ${uncertainty(b, a)})`];
  });
  if (clauses.length === 0) return `${name}: no mixture was measured with and without L2 normalisation.`;
  const right = [plain, normal].map((rows) => spread(rows.map((row) => row.accuracy)) as Spread) as [Spread, Spread];
  return `${name}: L2 is ${listed(clauses)} in AUROC of the mixture; accuracy ${numberText(right[1].mean)} against ${numberText(right[0].mean)}.`;
}

/** "2 seeds, ranges overlap": without a second seed nothing is known of chance. */
function uncertainty(a: Spread, b: Spread): string {
  const seeds = a.count === b.count ? seedCount(a.count) + (a.count === 1 ? " each" : "") : `${a.count} and ${b.count} seeds`;
  return `${seeds}, ${rangesText(a, b)}`;
}

function rangesText(a: Spread, b: Spread): string {
  if (a.count === 1 && b.count === 1) return "spread unknown";
  return a.min <= b.max && b.min <= a.max ? "ranges overlap" : "ranges apart";
}

const scores: readonly (readonly [MeasuredScore, string])[] = [
  ["mixture", "mixture over features"],
  ["softmax", "softmax"],
  ["logit-mixture", "mixture over logits"],
];

/** L2 less none: accuracy, and AUROC of every set and score. */
export function differenceTable(networks: readonly Network[]): PlainTable {
  const rows = pairsOf(networks).flatMap(({ name, without, withL2 }) => {
    const [plain, normal] = [trained(without), trained(withL2)];
    const line = (what: string, set: string, value: (row: MeasurementRow) => number | undefined): string[][] => {
      const [a, b] = [plain, normal].map((found) => spread(found.flatMap((row) => value(row) ?? [])));
      if (a === undefined || b === undefined) return [];
      const difference = b.mean - a.mean;
      const sign = difference > 0 ? "+" : "";
      return [[name, set, what, cellText(a), cellText(b), `${sign}${numberText(difference)}`, rangesText(a, b)]];
    };
    return [
      ...oodNames([...plain, ...normal]).flatMap((set) =>
        scores.flatMap(([score, title]) => line(`AUROC, ${title}`, setTitle(set), (row) => row.ood[set]?.[score]?.auroc)),
      ),
      ...line("accuracy", setTitle(withL2.inDistribution), (row) => row.accuracy),
    ];
  });
  return {
    caption: "What L2 normalisation changes: networks that differ in it alone, means over seeds with the smallest and largest",
    head: ["Networks", "Set", "Number", "No L2", "L2", "Difference", "Ranges"],
    rows,
  };
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
    return [`${network.label} names ${percent(right.mean)} of the test images; guessing names ${percent(chance)}.`];
  });
}

function percent(share: number): string {
  return `${Number((100 * share).toPrecision(2))} %`;
}

/** Finished networks of equal cells but for L2, in the order in which they come. */
function pairsOf(networks: readonly Network[]): Pair[] {
  const finished = networks.filter((network) => trained(network).length > 0);
  const others = (network: Network): string => {
    const { depth, spectralNorm, leakyGap, paperEpochs, epochs, milestones, batchSize, width, featureDim } = network.cell;
    return JSON.stringify([
      network.inDistribution,
      depth,
      spectralNorm,
      leakyGap,
      paperEpochs,
      epochs,
      milestones,
      batchSize,
      width,
      featureDim,
    ]);
  };
  return finished.flatMap((withL2): Pair[] => {
    if (!withL2.cell.l2) return [];
    const without = finished.find((other) => !other.cell.l2 && others(other) === others(withL2));
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
