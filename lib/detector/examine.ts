// Examines a detector when it is fitted: how well it names classes, what it flags of out-of-distribution inputs, and which of that deserves a warning.

import { Scope } from "../core/scope";
import type { ScoreName } from "../scores/score";
import { calibrationWarnings, nameInputs, reportOf, type CalibrationReport, type Circumstances } from "./calibration-report";
import { pValue } from "./calibration";
import type { Naming } from "./class-names";
import { pick, tensorsOf, type Tensors } from "./outputs";
import { leaveClassesOut, type LeftOutSource } from "./left-out-classes";
import type { SelfTestRecord } from "./self-test";

export interface Examination {
  readonly report: CalibrationReport;
  readonly selfTest: SelfTestRecord | undefined;
  /** Labels in the order of the ascending scores; undefined where they were not given. */
  readonly calibrationLabels: Int32Array | undefined;
  readonly warnings: readonly string[];
}

export interface Examined<N extends ScoreName> extends Omit<LeftOutSource<N>, "labels" | "calibrationLabels"> {
  naming: Naming;
  /** Outputs of training inputs, with as many rows as there are `labels`. */
  trainingSample: Tensors;
  labels: ArrayLike<number> | undefined;
  calibrationLabels: ArrayLike<number> | undefined;
  /** Scores in the order of the inputs. */
  scores: Float64Array;
  circumstances: Omit<Circumstances, "numClasses">;
  /** Gives the outputs of generated inputs; undefined if no self-test was asked for. */
  generated: (() => Promise<{ noise: Tensors; shuffled: Tensors }>) | undefined;
}

/** Examines a detector. @throws what naming and scoring throw; ERR_ABORTED after an abort */
export async function examine<N extends ScoreName>(source: Examined<N>): Promise<Examination> {
  const { naming, calibration, calibrationLabels, trainingSample, labels, scores, numClasses, signal } = source;
  const held = await nameInputs(naming, calibration, calibrationLabels, signal, scores.length);
  const fitted = held && (await nameInputs(naming, trainingSample, labels, signal));
  const order = Uint32Array.from(scores.keys()).sort((a, b) => (scores[a] as number) - (scores[b] as number));
  return {
    report: { ...(held ? { calibration: reportOf(held) } : {}), ...(fitted ? { training: reportOf(fitted) } : {}) },
    selfTest: source.generated && (await selfTest(source, source.generated)),
    calibrationLabels: calibrationLabels && Int32Array.from(order, (i) => calibrationLabels[i] as number),
    warnings: held ? calibrationWarnings(held, fitted, { ...source.circumstances, numClasses }) : [],
  };
}

async function selfTest<N extends ScoreName>(
  source: Examined<N>,
  generate: () => Promise<{ noise: Tensors; shuffled: Tensors }>,
): Promise<SelfTestRecord> {
  const { naming, scores, labels, calibrationLabels, signal } = source;
  const { score } = naming;
  const sorted = Float64Array.from(scores).sort();
  return Scope.run(async (scope) => {
    const made = await generate();
    scope.ownAll([...tensorsOf(made.noise), ...tensorsOf(made.shuffled)]);
    const pValuesOf = async (outputs: Tensors): Promise<number[]> =>
      Array.from(await score.score(pick(outputs, score.needs), { signal }), (value) => pValue(sorted, value));
    const noise = await pValuesOf(made.noise);
    const shuffled = await pValuesOf(made.shuffled);
    const known = labels !== undefined && calibrationLabels !== undefined;
    const leftOutClasses = known ? await leaveClassesOut({ ...source, labels, calibrationLabels }) : [];
    return { noise, shuffled, ...(leftOutClasses.length > 0 ? { leftOutClasses } : {}) };
  });
}
