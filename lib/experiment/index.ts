/**
 * The subpath `libtorch-ood/experiments`: runs and reports the experiments of the seed paper, or of a configuration of your own, from a program.
 *
 * @module libtorch-ood/experiments
 */

export {
  configurationSchema,
  readConfiguration,
  resolveConfiguration,
  type CellGroup,
  type Configuration,
  type Intervention,
  type MeasurementChoices,
  type MixtureChoices,
  type ResolvedConfiguration,
  type Scale,
  type TrainingChoices,
} from "./configuration";
export { type DatasetReader, type DatasetReaders, type ExperimentData } from "./data";
export type { JsonSchema } from "./json-schema";
export type { MeasuredScore } from "./measured-scores";
export { planOf, type Plan, type PlannedCell, type PlannedIntervention, type PlannedRun } from "./plan";
export { experimentPreset, experimentPresets, presetReferenceEpochs, type ExperimentPresetName, type PresetConfiguration } from "./presets";
export { report, type ReportOptions, type WrittenReport } from "./report/write-report";
export { read, type Results } from "./report/read-results";
export { resultsFileName } from "./results-file";
export { resume, type ResumeOptions } from "./resume";
export type { Cell, HeaderRow, MadeRecord, MeasurementRow, OodName, OodResult, Phase, ResultRow, SampledPoints } from "./rows";
export { preview, run, type ExperimentEvent, type ExperimentOptions, type ExperimentPreview, type ExperimentSummary } from "./runner";
