// An option of a score, declared once: its kind, range, default and meaning. Checks, types, the command line and the documentation follow from it.

import { boolean, finite, integer, oneOf, string } from "../core/checks";
import { modelOutputs, type ModelOutput } from "../core/model-outputs";

/** Description of an option of a score, for tables, forms and help texts. */
export interface ScoreOptionDescription {
  /** Key of the option. */
  readonly name: string;
  /** Kind of its values. */
  readonly kind: "integer" | "number" | "boolean" | "choice" | "string";
  /** The values that it takes, in words: "a whole number from 1 on", "true or false". */
  readonly expected: string;
  /** What the option does, as a sentence. */
  readonly description: string;
  /** Default value; undefined where `otherwise` says what happens. */
  readonly default: unknown;
  /** What happens if the option is not given and has no `default`, in words. */
  readonly otherwise: string | undefined;
}

/** An option as a definition declares it. `V` is what a caller may give. `R` is what the score gets, which may be undefined without a default. */
export interface ScoreOption<V, R extends V | undefined = V | undefined> extends Omit<ScoreOptionDescription, "name"> {
  readonly default: R;
  /** The value, checked. @throws ERR_OPTION for another type, ERR_RANGE for a number outside its range, ERR_NON_FINITE for NaN and infinity */
  check(value: unknown, name: string): V;
}

/** The options of a score, by name. */
export type ScoreOptionTable = Readonly<Record<string, ScoreOption<unknown>>>;

/** The options as a caller may give them. */
export type GivenOptions<O extends ScoreOptionTable> = { [K in keyof O]?: O[K] extends ScoreOption<infer V> ? V : never };

/** The options as the score gets them: checked, with defaults. */
export type ResolvedOptions<O extends ScoreOptionTable> = { readonly [K in keyof O]: O[K]["default"] };

type Resolved<V, D> = D extends undefined ? V | undefined : V;

interface Facts<D> {
  readonly description: string;
  readonly default?: D;
  readonly otherwise?: string;
}

function option<V, D extends V | undefined>(
  facts: Facts<D>,
  rest: Pick<ScoreOption<V>, "kind" | "expected" | "check">,
): ScoreOption<V, Resolved<V, D>> {
  const { description, otherwise } = facts;
  return { ...rest, description, default: facts.default as Resolved<V, D>, otherwise };
}

/** An option that takes a whole number within a range. */
export function integerOption<D extends number | undefined = undefined>(facts: Facts<D> & { minimum: number; maximum?: number }) {
  const { minimum, maximum } = facts;
  return option<number, D>(facts, {
    kind: "integer",
    expected: maximum === undefined ? `a whole number from ${minimum} on` : `a whole number, ${minimum} to ${maximum}`,
    check: (value, name) => integer(value, name, minimum, maximum),
  });
}

/** An option that takes a finite number above 0. */
export function positiveOption<D extends number | undefined = undefined>(facts: Facts<D>) {
  return option<number, D>(facts, {
    kind: "number",
    expected: "a positive number",
    check: (value, name) => finite(value, name, Number.MIN_VALUE),
  });
}

/** An option that takes a finite number within a range. */
export function numberOption<D extends number | undefined = undefined>(facts: Facts<D> & { minimum: number; maximum?: number }) {
  const { minimum, maximum } = facts;
  return option<number, D>(facts, {
    kind: "number",
    expected: maximum === undefined ? `a number, at least ${minimum}` : `a number, ${minimum} to ${maximum}`,
    check: (value, name) => finite(value, name, minimum, maximum),
  });
}

export function booleanOption<D extends boolean | undefined = undefined>(facts: Facts<D>) {
  return option<boolean, D>(facts, { kind: "boolean", expected: "true or false", check: boolean });
}

/** An option that takes one of a list of words. */
export function choiceOption<const C extends string, D extends NoInfer<C> | undefined = undefined>(choices: readonly C[], facts: Facts<D>) {
  return option<C, D>(facts, {
    kind: "choice",
    expected: choices.map((choice) => JSON.stringify(choice)).join(", "),
    check: (value, name) => oneOf(value, name, choices),
  });
}

/** An option that takes one of a list of words, or a number from 0 on. */
export function choiceOrNumberOption<const C extends string>(choices: readonly C[], facts: Facts<undefined>) {
  return option<C | number, undefined>(facts, {
    kind: "choice",
    expected: `${choices.map((choice) => JSON.stringify(choice)).join(", ")}, or a number from 0 on`,
    check: (value, name) => (typeof value === "number" ? finite(value, name, 0) : oneOf(value, name, choices)),
  });
}

export function stringOption<D extends string | undefined = undefined>(facts: Facts<D> & { expected: string }) {
  return option<string, D>(facts, { kind: "string", expected: facts.expected, check: string });
}

/** The option `from` of scores that can be fitted to any of the matrices. */
export const fromOption = choiceOption<ModelOutput, "features">(modelOutputs, {
  default: "features",
  description: "Which outputs the score is fitted to and looks at.",
});

/** Description of the property `from` of a fitted score. */
export const fromFact = "The outputs that it was fitted to and looks at.";

/** The option `device` of scores that compute natively. */
export const deviceOption = stringOption({
  default: "cpu",
  expected: '"cpu", "cuda" or "cuda:N"',
  description: "Where the score is fitted and computed.",
});

/** The option `numClasses` of scores that are fitted to classes. */
export const numClassesOption = integerOption({
  minimum: 1,
  maximum: 1 << 24,
  otherwise: "one more than the largest label",
  description: "The number of classes, where the last ones may have no samples.",
});
