// Schemas of the examination in a detector's file, which is checked like everything that is read; older files have none.

import { list, number, object, optional, whole, type Schema } from "../core/schema";
import type { CalibrationReport } from "./calibration-report";
import type { SelfTestRecord } from "./self-test";

const share = number({ minimum: 0, maximum: 1 });
const pValues = list(number({ above: 0, maximum: 1 }), { least: 1 });
const named = object({ count: whole(1), accuracy: optional(share), meanConfidence: share });

export const storedReport: Schema<CalibrationReport> = object({ calibration: optional(named), training: optional(named) });

const leftOutClass = object({ label: whole(), calibrationCount: whole(1), pValues });

/** A label is the place of a class among the class names; the reader of the file checks that there is one. */
export const storedSelfTest: Schema<SelfTestRecord> = object({
  noise: optional(pValues),
  shuffled: optional(pValues),
  leftOutClasses: optional(list(leftOutClass, { least: 1 })),
});
