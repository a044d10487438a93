// Facts about the runs of a report (when, where and how they were made), as pairs of a name and a text.

import { groupBy, setTitle, type Network } from "./networks";
import type { HeaderRow } from "../rows";

export type Facts = readonly (readonly [name: string, text: string])[];

/** What a header may say of its configuration; results of older versions say less. */
interface Recorded {
  readonly inDistribution?: unknown;
  readonly classNames?: unknown;
  readonly conformed?: unknown;
  readonly resized?: unknown;
}

export function factsOf(header: HeaderRow, networks: readonly Network[]): Facts {
  const { made } = header;
  const last = networks
    .flatMap((network) => network.rows.flatMap((row) => row.at ?? []))
    .sort()
    .at(-1);
  const changed = changedSets(header);
  return [
    ...(made ? [["Begun", dateText(made.at)] as const] : []),
    ...(last === undefined ? [] : [["Last row", dateText(last)] as const]),
    ["Time taken", timeText(networks)],
    ...(made ? [["Machine", made.machine] as const, ["Device", `${made.device}, ${made.threads} threads`] as const] : []),
    ["Versions", [`libtorch-ood ${header.library}`, `libtorch ${header.libtorch}`, ...(made ? [`Node.js ${made.node}`] : [])].join(", ")],
    ...(header.preset === undefined ? [] : [["Preset", header.preset] as const]),
    ...(changed === "" ? [] : [["Images made of another form", changed] as const]),
    ["Configuration", `${header.configurationHash.slice(0, 12)} (SHA-256)`],
    ...(made?.command === undefined ? [] : [["To repeat it", made.command] as const]),
  ];
}

/** Names of the classes in distribution; undefined where the results do not say them. */
export function classNamesOf({ configuration }: HeaderRow): readonly string[] | undefined {
  const { classNames } = recorded(configuration);
  return Array.isArray(classNames) && classNames.every((name) => typeof name === "string") ? classNames : undefined;
}

function recorded(configuration: unknown): Recorded {
  return objectOr(configuration);
}

function changedSets({ configuration }: HeaderRow): string {
  const { inDistribution, conformed, resized } = recorded(configuration);
  const shapes = new Map(Object.entries(objectOr(conformed)));
  const how = new Map(Object.entries(objectOr(resized)));
  // The parts of the set in distribution are read alike, and go by its name.
  const parts = ["train", "validation", "test"];
  const others = [...how.keys()].filter((set) => !parts.includes(set));
  const own = how.has("train") && typeof inDistribution === "string" ? [inDistribution] : [];
  if (own[0] !== undefined) how.set(own[0], how.get("train"));
  const texts = [...new Set([...own, ...shapes.keys(), ...others])].map((set) => {
    const shape: unknown = shapes.get(set);
    const [channels = "?", ...sides] = Array.isArray(shape) ? shape.map(String) : [];
    const from = shapes.has(set) ? `from ${sides.join("×")}×${channels}` : "from image files";
    const record = objectOr(how.get(set)) as { mode?: unknown; kernel?: unknown };
    const by = how.has(set) ? `, ${String(record.mode)}, ${String(record.kernel)}` : "";
    return `${setTitle(set)} (${from}${by})`;
  });
  return texts.join("; ");
}

function objectOr(value: unknown): object {
  return typeof value === "object" && value !== null ? value : {};
}

/** "2026-11-30 09:13 UTC"; whatever else is there as it is. */
function dateText(iso: string): string {
  return /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}/.test(iso) ? `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC` : iso;
}

/** Time of training and measuring; epochs of one phase report the sum up to them. */
function timeText(networks: readonly Network[]): string {
  let training = 0;
  let measuring = 0;
  for (const { rows } of networks) {
    for (const ofPhase of groupBy(rows, (row) => `${row.seed} ${row.phase}`).values()) {
      training += Math.max(...ofPhase.map((row) => row.seconds.training));
      measuring += ofPhase.reduce((sum, row) => sum + row.seconds.measurement, 0);
    }
  }
  return `${durationText(training)} of training, ${durationText(measuring)} of measuring`;
}

function durationText(seconds: number): string {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
