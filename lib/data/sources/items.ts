// Images of a source before they are decoded, and the orders that they come in.

import { bounded, randomPermutationInTurns } from "../../core/random-permutation";
import { seededUint32, seedOf } from "../../core/random";
import type { TakenImage } from "../../images/image";
import type { SourceOrder } from "./source";

/** An image that is to be decoded. */
export interface SourceItem {
  /** Its `name` is what messages call it. */
  readonly image: TakenImage;
  /** −1: not known. */
  readonly label: number;
}

/** An item and its place in the epoch's order, from which the draws of its augmentation follow. */
export interface PlacedItem extends SourceItem {
  readonly place: number;
}

/** Items that can be taken in any order: a permutation of all of them. */
export async function* permuted(
  length: number,
  order: SourceOrder | undefined,
  itemAt: (index: number) => SourceItem,
): AsyncGenerator<SourceItem, void, undefined> {
  if (order === undefined || order.shuffle === false) {
    for (let index = 0; index < length; index++) yield itemAt(index);
    return;
  }
  for (const index of await randomPermutationInTurns(length, seedOf(order.seed, order.epoch))) yield itemAt(index);
}

/**
 * Items that come as they come: a buffer is filled, and each item that is drawn from it makes room for the next. An item is so moved back by about the
 * size of the buffer, and forward by less than that.
 */
export async function* shuffled(
  items: AsyncIterable<SourceItem>,
  size: number,
  { seed, epoch }: SourceOrder,
): AsyncGenerator<SourceItem, void, undefined> {
  const random = seededUint32(seedOf(seed, epoch, 1));
  const buffer: SourceItem[] = [];
  const draw = (): SourceItem => {
    const at = bounded(random, buffer.length);
    const item = buffer[at] as SourceItem;
    const last = buffer.pop() as SourceItem;
    if (at < buffer.length) buffer[at] = last;
    return item;
  };
  for await (const item of items) {
    buffer.push(item);
    if (buffer.length > size) yield draw();
  }
  while (buffer.length > 0) yield draw();
}

/** The items of one shard with their places in the whole order. */
export async function* placed(
  items: AsyncIterable<SourceItem> | Iterable<SourceItem>,
  { index, count }: { readonly index: number; readonly count: number } = { index: 0, count: 1 },
): AsyncGenerator<PlacedItem, void, undefined> {
  let place = 0;
  for await (const item of items) {
    if (place % count === index) yield { ...item, place };
    place++;
  }
}
