// What a detector's file holds of its examination: nothing in files of before it, and nothing that is trusted.

import { corrupt } from "../formats/state-file";
import type { CalibrationReport, NamedInputs } from "./calibration-report";
import type { LeftOutClass } from "./left-out-classes";
import type { SelfTestRecord } from "./self-test";

/** @throws ERR_CORRUPT_FILE */
export function parseReport(path: string, given: unknown): CalibrationReport {
  if (given === undefined) return {};
  const report = object(path, "report", given);
  const named = (key: "calibration" | "training"): NamedInputs | undefined => {
    if (report[key] === undefined) return undefined;
    const what = `report.${key}`;
    const { count, accuracy, meanConfidence } = object(path, what, report[key]);
    return {
      count: whole(path, `${what}.count`, count, 1),
      ...(accuracy === undefined ? {} : { accuracy: share(path, `${what}.accuracy`, accuracy) }),
      meanConfidence: share(path, `${what}.meanConfidence`, meanConfidence),
    };
  };
  const [calibration, training] = [named("calibration"), named("training")];
  return { ...(calibration ? { calibration } : {}), ...(training ? { training } : {}) };
}

/** @throws ERR_CORRUPT_FILE */
export function parseSelfTest(path: string, given: unknown, numClasses: number): SelfTestRecord | undefined {
  if (given === undefined) return undefined;
  const { noise, shuffled, leftOutClasses } = object(path, "selfTest", given);
  const left = leftOutClasses === undefined ? undefined : list(path, "selfTest.leftOutClasses", leftOutClasses);
  return {
    ...(noise === undefined ? {} : { noise: pValues(path, "selfTest.noise", noise) }),
    ...(shuffled === undefined ? {} : { shuffled: pValues(path, "selfTest.shuffled", shuffled) }),
    ...(left === undefined
      ? {}
      : {
          leftOutClasses: left.map((entry, i): LeftOutClass => {
            const what = `selfTest.leftOutClasses[${i}]`;
            const { label, calibrationCount, pValues: values } = object(path, what, entry);
            return {
              label: whole(path, `${what}.label`, label, 0, numClasses - 1),
              calibrationCount: whole(path, `${what}.calibrationCount`, calibrationCount, 1),
              pValues: pValues(path, `${what}.pValues`, values),
            };
          }),
        }),
  };
}

function object(path: string, what: string, value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) corrupt(path, what, "an object", value);
  return value as Record<string, unknown>;
}

function list(path: string, what: string, value: unknown): unknown[] {
  if (!Array.isArray(value) || value.length === 0) corrupt(path, what, "an array that is not empty", value);
  return value;
}

function pValues(path: string, what: string, value: unknown): number[] {
  return list(path, what, value).map((p, i) => {
    if (typeof p !== "number" || !(p > 0 && p <= 1)) corrupt(path, `${what}[${i}]`, "a number above 0, up to 1", p);
    return p;
  });
}

function share(path: string, what: string, value: unknown): number {
  if (typeof value !== "number" || !(value >= 0 && value <= 1)) corrupt(path, what, "a number from 0 to 1", value);
  return value;
}

function whole(path: string, what: string, value: unknown, minimum: number, maximum = Number.MAX_SAFE_INTEGER): number {
  if (!Number.isSafeInteger(value) || (value as number) < minimum || (value as number) > maximum) {
    corrupt(path, what, `a whole number from ${minimum} to ${maximum}`, value);
  }
  return value as number;
}
