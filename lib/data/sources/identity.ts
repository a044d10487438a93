// By what a resumed run knows that a source gives the same images in the same order.

import type { ImageSource } from "./source";

/** A source's method that gives the text. A source of the caller's own has none: then only its length and classes are compared. */
export const identity: unique symbol = Symbol("identity");

/** Text that is the same for equal sources. */
export async function identityOf(source: ImageSource): Promise<string> {
  const own = (source as Partial<Record<typeof identity, () => Promise<string>>>)[identity];
  return JSON.stringify([source.length ?? null, source.classNames ?? null, own === undefined ? null : await own.call(source)]);
}
