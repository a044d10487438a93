// Resolves `precision: "auto"` of an experiment to one precision for all rows of a folder, whatever machines they come from.

import { open } from "node:fs/promises";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { parseJson } from "../formats/json";
import { device as devices, type ComputePrecision } from "../index";
import type { ResolvedConfiguration } from "./configuration";
import { resultsFileName } from "./results-file";

/**
 * The configuration with "auto" resolved: to the precision of the rows that the folder holds, or in an empty folder to that of the device. A folder that
 * holds something else than results is left to {@link ResultsFile.open}, which refuses it.
 */
export async function withPrecision(configuration: ResolvedConfiguration, out: string, device: string): Promise<ResolvedConfiguration> {
  const { training } = configuration;
  if (training.precision !== "auto") return configuration;
  const precision = (await recordedPrecision(join(out, resultsFileName))) ?? devices.resolvePrecision("auto", device);
  return { ...configuration, training: { ...training, precision } };
}

async function recordedPrecision(file: string): Promise<ComputePrecision | undefined> {
  const handle = await open(file).catch(() => undefined);
  if (handle === undefined) return undefined;
  try {
    for await (const line of createInterface({ input: handle.createReadStream({ autoClose: false }) })) {
      const header = parseJson(line) as { configuration?: { training?: { precision?: unknown } } } | null;
      return (["float32", "bfloat16"] as const).find((precision) => precision === header?.configuration?.training?.precision);
    }
  } catch {
    return undefined;
  } finally {
    await handle.close();
  }
  return undefined;
}
