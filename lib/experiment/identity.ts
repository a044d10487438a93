// The identity of an experiment, which all rows of a folder share, and the differences between two.

import { createHash } from "node:crypto";
import { cpus } from "node:os";
import { device, type ResizeRecord } from "../index";
import { packageVersion } from "../core/package-root";
import { describe } from "../core/checks";
import { corruptFile } from "../core/file-errors";
import type { Configuration, ResolvedConfiguration } from "./configuration";
import type { HeaderRow, MadeRecord } from "./rows";

/**
 * The part of a configuration that decides the row of a cell and seed. Cells, seeds and the epochs between measurements are not part of it, since they
 * may be added to a folder.
 */
export interface Identity {
  readonly inDistribution: string;
  readonly outOfDistribution: readonly string[];
  readonly validation: ResolvedConfiguration["validation"];
  readonly training: ResolvedConfiguration["training"];
  readonly mixture: ResolvedConfiguration["mixture"];
  readonly measurements: Omit<ResolvedConfiguration["measurements"], "every">;
  readonly subset: ResolvedConfiguration["subset"];
  readonly scale: ResolvedConfiguration["scale"];
  /** SHA-256 of each set as it is used. */
  readonly data: Readonly<Record<string, string>>;
}

/**
 * A configuration with facts about its data, as a header holds it. Data sets have their names in it. The fields after `data` follow from its hashes and
 * are not compared.
 */
export type RecordedConfiguration = ResolvedConfiguration & {
  readonly data: Identity["data"];
  readonly resized: Readonly<Record<string, ResizeRecord>>;
  /** [C, H, W] of the sets whose images had another form than those in distribution. */
  readonly conformed: Readonly<Record<string, readonly number[]>>;
  readonly classNames: readonly string[];
  /** The sets that come from folders, as the configuration writes them, by name. Absent in older headers. */
  readonly references?: Readonly<Record<string, string>> | undefined;
};

export function identityOf(configuration: RecordedConfiguration): Identity {
  const { inDistribution, outOfDistribution, validation, training, mixture, subset, scale, data } = configuration;
  const { scores, singularValues, samples } = configuration.measurements;
  const measurements = { scores: [...scores].sort(), singularValues, samples };
  return {
    inDistribution,
    outOfDistribution: [...outOfDistribution].sort(),
    validation,
    training,
    mixture,
    measurements,
    subset,
    scale,
    data,
  };
}

/** The configuration that a folder was begun with, as it was given. @throws ERR_CORRUPT_FILE for a header without one */
export function configurationOf({ configuration }: HeaderRow, where: string): Configuration {
  if (!isObject(configuration)) throw corruptFile(where, "a header with a configuration", describe(configuration));
  const { references, ...recorded } = configuration as unknown as RecordedConfiguration;
  const { inDistribution, outOfDistribution } = recorded;
  if (!Array.isArray(outOfDistribution)) throw corruptFile(where, "a header with outOfDistribution", describe(outOfDistribution));
  const text = (name: string): string =>
    references !== undefined && Object.hasOwn(references, name) ? (references[name] as string) : name;
  const found = ["data", "resized", "conformed", "classNames"]; // of the data: no part of what was asked for
  const given = Object.fromEntries(Object.entries(recorded).filter(([key]) => !found.includes(key))) as unknown as ResolvedConfiguration;
  return { ...given, inDistribution: text(inDistribution), outOfDistribution: outOfDistribution.map(text) };
}

/** The first line of results.jsonl. */
export function headerOf(configuration: RecordedConfiguration, preset: string | undefined, made?: MadeRecord): HeaderRow {
  return {
    kind: "header",
    version: 1,
    preset,
    configuration,
    configurationHash: createHash("sha256")
      .update(canonical(identityOf(configuration)))
      .digest("hex"),
    library: packageVersion(),
    libtorch: device.info().libtorch,
    ...(made && { made }),
  };
}

/** The record of this process and machine. @param name - name of the device that networks are trained on */
export function madeHere(name: string, command: string | undefined): MadeRecord {
  const processors = cpus();
  const model = processors[0]?.model.trim() ?? "unknown processor";
  return {
    at: new Date().toISOString(),
    machine: `${model}, ${processors.length} ${processors.length === 1 ? "core" : "cores"}, ${process.platform} ${process.arch}`,
    device: name,
    threads: device.info().threads,
    node: process.version,
    ...(command !== undefined && { command }),
  };
}

/** The fields that differ, each as "scale.epochs.run (6 there, 12 here)". */
export function differences(there: unknown, here: unknown, path = ""): string[] {
  if (canonical(there) === canonical(here)) return [];
  if (isObject(there) && isObject(here)) {
    const keys = [...new Set([...Object.keys(there), ...Object.keys(here)])];
    const own = (object: Record<string, unknown>, key: string): unknown => (Object.hasOwn(object, key) ? object[key] : undefined);
    return keys.flatMap((key) => differences(own(there, key), own(here, key), path === "" ? key : `${path}.${key}`));
  }
  return [`${path} (${JSON.stringify(there) ?? "none"} there, ${JSON.stringify(here) ?? "none"} here)`];
}

/** JSON with the keys in order. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) =>
    isObject(item) ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1))) : item,
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
