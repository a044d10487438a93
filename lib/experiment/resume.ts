// Goes on with the experiment that a folder holds, as its header says it.

import { string } from "../core/checks";
import { read } from "./report/read-results";
import { run, type ExperimentOptions, type ExperimentSummary } from "./runner";
import { configurationOf } from "./identity";

/** Options of {@link resume}: those of {@link run} that the folder does not answer itself. */
export type ResumeOptions = Omit<ExperimentOptions, "out" | "preset" | "name">;

/**
 * Runs what a folder lacks of the experiment that it was begun with. {@link run} with the same configuration does the same; this needs the folder alone.
 *
 * @param out - the folder, with its results.jsonl
 * @throws ERR_IO where there are no results, ERR_CORRUPT_FILE, and what {@link run} throws
 * @example
 * const { finished } = await experiments.resume("runs", { data: "data" });
 */
export async function resume(out: string, options: ResumeOptions): Promise<ExperimentSummary> {
  const { header } = await read(string(out, "out"));
  return run(configurationOf(header, out), { ...options, out, preset: header.preset, name: out });
}
