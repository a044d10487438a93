// Every score there is, by name, from the files in definitions/; and the types and checks that follow from what these declare.

import { oneOf, optionalSignal, optionsObject } from "../core/checks";
import * as definitions from "./all";
import type { Fitted, ScoreDefinition } from "./define";
import type { GivenOptions, ResolvedOptions, ScoreOptionDescription, ScoreOptionTable } from "./option";
import type { Requirements, Score } from "./score";

type Listed = typeof definitions;
type Definitions = { [K in keyof Listed as Listed[K]["name"]]: Listed[K] };

/** The name of a score; `scores.names` lists them. */
export type ScoreName = keyof Definitions;

/** The options of each score, by its name: those that {@link describe} lists, and what every score takes. */
export type ScoreOptions = { [N in ScoreName]: GivenOptions<Definitions[N]["options"]> & EveryScoreOptions };

/** The options that every score takes. */
export interface EveryScoreOptions {
  /** Ends the fit: it then throws ERR_ABORTED. */
  signal?: AbortSignal;
}

type FactsOf<N extends ScoreName> = Awaited<ReturnType<Definitions[N]["fit"]>> extends Fitted<infer Facts> ? Facts : never;

/** Each score as it is fitted, by its name: a {@link Score}, and the properties that {@link describe} lists. */
export type ScoreOf = { [N in ScoreName]: Score & Readonly<Record<"name", N>> & Readonly<FactsOf<N>> };

/** A definition whose own types are not known. */
export type AnyDefinition = ScoreDefinition<ScoreName, ScoreOptionTable, object>;

const byName = new Map(
  Object.values<unknown>(definitions).map((definition) => [(definition as AnyDefinition).name, definition as AnyDefinition]),
);

/** The names of all scores, in alphabetical order. */
export const names: readonly ScoreName[] = Object.freeze([...byName.keys()].sort());

/** @throws ERR_OPTION for a name that no score has */
export function definitionOf(name: ScoreName): AnyDefinition {
  return byName.get(oneOf(name, "name", names)) as AnyDefinition;
}

/** Options as they were given, checked by what the score declares, with its defaults. @throws ERR_OPTION, ERR_RANGE, ERR_NON_FINITE */
export function resolveOptions(
  { options: table }: AnyDefinition,
  given: object | undefined,
): ResolvedOptions<ScoreOptionTable> & {
  signal: AbortSignal | undefined;
} {
  const { signal, ...values } = optionsObject<Record<string, unknown>>(given as Record<string, unknown> | undefined, "options", [
    ...Object.keys(table),
    "signal",
  ]);
  const resolved = Object.entries(table).map(([name, option]) => {
    const value = values[name];
    return [name, value === undefined ? option.default : option.check(value, name)] as const;
  });
  return { ...Object.fromEntries(resolved), signal: optionalSignal(signal as AbortSignal | undefined, "signal") };
}

/** What a score is and what it takes, for tables, forms and help texts. */
export interface ScoreDescription {
  /** By which `scores.fit` knows it. */
  readonly name: ScoreName;
  /** As plain text: z are features, l logits. */
  readonly formula: string;
  /** Authors and year of the publication. */
  readonly source: string;
  /** What scoring costs: C classes, d features, N training inputs. */
  readonly cost: string;
  /** Where it serves best. */
  readonly chooseWhere: string;
  /** Under default options. */
  readonly requirements: Requirements;
  /** Beside these every score takes `signal`. */
  readonly options: readonly ScoreOptionDescription[];
  /** What can be read of the fitted score, beside what every {@link Score} has. */
  readonly properties: readonly ScorePropertyDescription[];
}

/** A property of a fitted score. */
export interface ScorePropertyDescription {
  /** Its key in the score. */
  readonly name: string;
  /** What it says. */
  readonly description: string;
}

/**
 * What a score is, what it needs and which options it takes.
 *
 * @throws ERR_OPTION for a name that no score has
 *
 * @example
 * for (const name of scores.names) console.log(name, scores.describe(name).formula);
 */
export function describe(name: ScoreName): ScoreDescription {
  const definition = definitionOf(name);
  const { formula, source, cost, chooseWhere, facts } = definition;
  const options = Object.entries(definition.options).map(([option, { kind, expected, description, default: value, otherwise }]) => {
    return { name: option, kind, expected, description, default: value, otherwise };
  });
  const properties = Object.entries<string>(facts).map(([fact, description]) => ({ name: fact, description }));
  return {
    name,
    formula,
    source,
    cost,
    chooseWhere,
    requirements: needsOf(definition, resolveOptions(definition, {})),
    options,
    properties,
  };
}

/** What a score looks at under these options. */
export function needsOf({ needs }: AnyDefinition, options: ResolvedOptions<ScoreOptionTable>): Requirements {
  return typeof needs === "function" ? needs(options) : needs;
}
