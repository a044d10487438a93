// Continues the experiment that a folder of results was begun with.

import { string } from "../core/checks";
import { read } from "./report/read-results";
import { run, type ExperimentOptions, type ExperimentSummary } from "./runner";
import { configurationOf } from "./identity";

/** Options of {@link resume}: those of {@link run} that the folder does not hold itself. */
export type ResumeOptions = Omit<ExperimentOptions, "out" | "preset" | "name">;

/**
 * Runs the part that a folder lacks of the experiment that it was begun with. {@link run} with the same configuration does the same; `resume` needs the
 * folder alone.
 *
 * @param out - the folder, with its results.jsonl
 * @param options - the folder of the data, and the device
 * @throws ERR_IO if there are no results; ERR_CORRUPT_FILE for a damaged results file; and what {@link run} throws
 * @example
 * const { finished } = await experiments.resume("runs", { data: "data" });
 */
export async function resume(out: string, options: ResumeOptions): Promise<ExperimentSummary> {
  const { header } = await read(string(out, "out"));
  return run(configurationOf(header, out), { ...options, out, preset: header.preset, name: out });
}
