// The registry of scores by name, from the files in definitions/, and the types and checks that follow from what these declare.

import { oneOf, optionalSignal, optionsObject } from "../core/checks";
import * as definitions from "./all";
import type { Fitted, ScoreDefinition } from "./define";
import type { GivenOptions, ResolvedOptions, ScoreOptionDescription, ScoreOptionTable } from "./option";
import type { Requirements, Score } from "./score";

type Listed = typeof definitions;
type Definitions = { [K in keyof Listed as Listed[K]["name"]]: Listed[K] };

/** The name of a score; `scores.names` lists them. */
export type ScoreName = keyof Definitions;

/** The options of each score, by its name: those that {@link describe} lists, and those that every score takes. */
export type ScoreOptions = { [N in ScoreName]: GivenOptions<Definitions[N]["options"]> & EveryScoreOptions };

/** The options that every score takes. */
export interface EveryScoreOptions {
  /** Signal that ends the fit with ERR_ABORTED. */
  signal?: AbortSignal;
}

type FactsOf<N extends ScoreName> = Awaited<ReturnType<Definitions[N]["fit"]>> extends Fitted<infer Facts> ? Facts : never;

/** The type of each fitted score, by its name: a {@link Score} with the properties that {@link describe} lists. */
export type ScoreOf = { [N in ScoreName]: Score & Readonly<Record<"name", N>> & Readonly<FactsOf<N>> };

/** A definition whose own types are not known. */
export type AnyDefinition = ScoreDefinition<ScoreName, ScoreOptionTable, object>;

const byName = new Map(
  Object.values<unknown>(definitions).map((definition) => [(definition as AnyDefinition).name, definition as AnyDefinition]),
);

/** The names of all scores, in alphabetical order. */
export const names: readonly ScoreName[] = Object.freeze([...byName.keys()].sort());

/** The definition of a score. @throws ERR_OPTION for a name that no score has */
export function definitionOf(name: ScoreName): AnyDefinition {
  return byName.get(oneOf(name, "name", names)) as AnyDefinition;
}

/**
 * The caller's options, checked by what the score declares, with its defaults.
 *
 * @throws ERR_OPTION for an unknown option or a value of another type; ERR_RANGE for a number outside its range; ERR_NON_FINITE for NaN and infinity
 */
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

/** Description of a score and its options, for tables, forms and help texts. */
export interface ScoreDescription {
  /** Name of the score, which {@link fit} takes. */
  readonly name: ScoreName;
  /** Formula as plain text: z are features, l logits. */
  readonly formula: string;
  /** Authors and year of the publication. */
  readonly source: string;
  /** Cost of scoring, for C classes, d features and N training inputs. */
  readonly cost: string;
  /** Situation in which to choose the score. */
  readonly chooseWhere: string;
  /** Outputs that the score needs under default options. */
  readonly requirements: Requirements;
  /** Options of the score; every score also takes `signal`. */
  readonly options: readonly ScoreOptionDescription[];
  /** Properties of the fitted score beside those that every {@link Score} has. */
  readonly properties: readonly ScorePropertyDescription[];
}

/** Description of a property of a fitted score. */
export interface ScorePropertyDescription {
  /** Key of the property in the score. */
  readonly name: string;
  /** What the property says. */
  readonly description: string;
}

/**
 * Describes a score: its formula, source and cost, the outputs that it needs, and its options.
 *
 * @param name - one of {@link names}
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

/** The outputs that a score needs under these options. */
export function needsOf({ needs }: AnyDefinition, options: ResolvedOptions<ScoreOptionTable>): Requirements {
  return typeof needs === "function" ? needs(options) : needs;
}
