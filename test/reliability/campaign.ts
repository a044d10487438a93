// How long the reliability tests run: shortly in `npm test`, in full in `npm run test:campaigns`, which sets the environment; and where
// their figures go.

import { appendFileSync } from "node:fs";

const { CAMPAIGN_SHARE, CAMPAIGN_SECONDS, CAMPAIGN_FIGURES } = process.env;

/** How often: `short` in `npm test`; in a campaign `full`, or the share of it that was asked for. */
export function times(short: number, full: number): number {
  return CAMPAIGN_SHARE === undefined ? short : Math.max(1, Math.round(full * Number(CAMPAIGN_SHARE)));
}

/** How long, where time is what counts. */
export function seconds(short: number): number {
  return CAMPAIGN_SECONDS === undefined ? short : Number(CAMPAIGN_SECONDS);
}

/** Tells what a test has found; a campaign also collects it. */
export function figures(what: string, found: Record<string, unknown>): void {
  process.stdout.write(`${what}: ${JSON.stringify(found)}\n`);
  if (CAMPAIGN_FIGURES !== undefined) appendFileSync(CAMPAIGN_FIGURES, `${JSON.stringify({ what, found })}\n`);
}

/** How often each value comes. */
export function counts(values: Iterable<string>): Record<string, number> {
  const found: Record<string, number> = {};
  for (const value of values) found[value] = (found[value] ?? 0) + 1;
  return found;
}
