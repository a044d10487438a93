// The labels of a source's images, where the caller gives them: by a function, as numbers or as names of classes.

import { fail, integer } from "../../core/checks";
import { checkClassNames } from "../../core/class-names";

/** Gives the label of an image by its name: its number, the name of its class, or undefined where it has none. */
export type LabelFunction = (name: string) => number | string | undefined;

/** Makes labels of what a caller gives. */
export interface Labelling {
  readonly classNames: readonly string[] | undefined;
  /** @throws ERR_OPTION for a name that is no class; ERR_RANGE for a number that is none */
  of(name: string): number;
  /** The number of a label as it stands somewhere. @throws as `of` */
  number(label: number | string | undefined, name: string): number;
}

const largestLabel = (1 << 20) - 1;

/** @throws ERR_OPTION for class names that are no list of names, none twice */
export function labelled(label: LabelFunction | undefined, classNames: readonly string[] | undefined): Labelling {
  const names = classNames === undefined ? undefined : Object.freeze(checkClassNames(classNames));
  const numbers = new Map(names?.map((name, number) => [name, number]));
  const number = (given: number | string | undefined, name: string): number => {
    if (given === undefined) return -1;
    if (typeof given === "number") return integer(given, `label of ${name}`, 0, names === undefined ? largestLabel : names.length - 1);
    const found = numbers.get(given);
    if (found === undefined) fail("ERR_OPTION", `label of ${name}`, names === undefined ? "a number, or classNames" : "the name of a class", given);
    return found;
  };
  return { classNames: names, number, of: (name) => number(label?.(name), name) };
}
