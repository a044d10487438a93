// What a detector's file holds of its examination: nothing in files of before it, and nothing that is trusted.

import { list, number, object, optional, whole, type Schema } from "../core/schema";
import type { CalibrationReport } from "./calibration-report";
import type { SelfTestRecord } from "./self-test";

const share = number({ minimum: 0, maximum: 1 });
const pValues = list(number({ above: 0, maximum: 1 }), { least: 1 });
const named = object({ count: whole(1), accuracy: optional(share), meanConfidence: share });

export const storedReport: Schema<CalibrationReport> = object({ calibration: optional(named), training: optional(named) });

const leftOutClass = object({ label: whole(), calibrationCount: whole(1), pValues });

/** Labels are those of a class by its place among the names: the file's reader compares them. */
export const storedSelfTest: Schema<SelfTestRecord> = object({
  noise: optional(pValues),
  shuffled: optional(pValues),
  leftOutClasses: optional(list(leftOutClass, { least: 1 })),
});
