// From the images of a source to batches of decoded ones: groups them, decodes a few groups ahead, and gives them in order.

import { boolean, fail, integer, optionalSignal, optionsObject } from "../../core/checks";
import { LibtorchOodError } from "../../core/errors";
import { decodeRows, type DecodedRows } from "../../images/decoded-rows";
import { checkOnError, checkTruncated, reportFaults, type OnError, type Truncated } from "../../images/failure";
import { checkGeometry, type ImageGeometry } from "../../images/geometry";
import { checkMaxPixels } from "../../images/image";
import { untilAborted } from "../../native/call";
import { Tensor } from "../../native/tensor";
import { checkAugmentation, drawVariation, varies, type Augmentation } from "../augmentation";
import { placed, type PlacedItem, type SourceItem } from "./items";
import type { BatchOptions, SourceBatch, SourceOrder } from "./source";

/** Groups that are decoded ahead of whoever takes the batches: while one is computed, the next is there and the one after it is being decoded. */
const groupsAhead = 2;

const keys = ["batchSize", "input", "augmentation", "order", "shard", "start", "onError", "maxPixels", "truncated", "signal"] as const;

/** {@link BatchOptions}, checked. */
export interface CheckedBatchOptions {
  readonly batchSize: number;
  readonly geometry: ImageGeometry;
  readonly augmentation: Augmentation;
  readonly order: SourceOrder | undefined;
  readonly shard: { readonly index: number; readonly count: number };
  readonly start: number;
  readonly onError: OnError;
  readonly maxPixels: number | undefined;
  readonly truncated: Truncated;
  readonly signal: AbortSignal | undefined;
}

/** @throws ERR_OPTION for an unknown option, a value of another type, and an augmentation without an order; ERR_RANGE */
export function checkBatchOptions(options: BatchOptions): CheckedBatchOptions {
  const given = optionsObject(options, "batch options", keys);
  if (typeof given.input !== "object" || given.input === null) fail("ERR_OPTION", "input", "{ size, … }", given.input);
  const augmentation = checkAugmentation(given.augmentation);
  const order = given.order && optionsObject(given.order, "order", ["seed", "epoch", "shuffle"]);
  if (varies(augmentation) && order === undefined) {
    throw new LibtorchOodError("ERR_OPTION", "augmentation: expected an order beside it, whose seed and epoch its draws follow from");
  }
  const shard = given.shard && optionsObject(given.shard, "shard", ["index", "count"]);
  const count = integer(shard?.count ?? 1, "shard.count", 1);
  return {
    batchSize: integer(given.batchSize, "batchSize", 1, 1 << 20),
    geometry: checkGeometry(given.input, "input"),
    augmentation,
    order: order && {
      seed: integer(order.seed, "order.seed", 0),
      epoch: integer(order.epoch, "order.epoch", 0),
      shuffle: boolean(order.shuffle ?? true, "order.shuffle"),
    },
    shard: { index: integer(shard?.index ?? 0, "shard.index", 0, count - 1), count },
    start: integer(given.start ?? 0, "start", 0),
    onError: checkOnError(given.onError),
    maxPixels: checkMaxPixels(given.maxPixels),
    truncated: checkTruncated(given.truncated),
    signal: optionalSignal(given.signal, "signal"),
  };
}

/** A group of images that are being decoded, or the end. */
interface Group {
  readonly items: readonly PlacedItem[];
  readonly decoded: Promise<DecodedRows>;
}

/** The batches of a source. `items` gives its images in the order that the options ask for. */
export async function* decodedBatches(
  items: AsyncIterable<SourceItem> | Iterable<SourceItem>,
  options: CheckedBatchOptions,
): AsyncGenerator<SourceBatch, void, undefined> {
  const { batchSize, start, onError, signal } = options;
  const source = placed(items, options.shard);
  const ahead: Promise<Group | undefined>[] = [];
  let skip = start * batchSize;
  let reading: Promise<unknown> = Promise.resolve();
  const next = (): void => {
    // One group is read after the other; each is decoded as soon as it has been read.
    const group = reading.then(async () => {
      const taken = await groupOf(source, batchSize, skip, signal);
      skip = 0;
      return taken.length === 0 ? undefined : { items: taken, decoded: decodeGroup(taken, options) };
    });
    reading = group.catch(() => undefined);
    ahead.push(group);
  };
  let before = start * batchSize;
  try {
    for (;;) {
      while (ahead.length <= groupsAhead) next();
      const group = await (ahead.shift() as Promise<Group | undefined>);
      if (group === undefined) return;
      const { items, decoded } = group;
      const { tensor, faults } = await decoded;
      const first = before;
      before += items.length;
      try {
        const skipped = await reportFaults(faults, (i) => (items[i] as PlacedItem).image.name, moved(onError, first), signal);
        const kept = faults.size === 0 ? items : items.filter((_, i) => !faults.has(i));
        yield {
          images: new Tensor(tensor),
          labels: Int32Array.from(kept, ({ label }) => label),
          names: kept.map(({ image }) => image.name),
          skipped: skipped.map((failure) => ({ ...failure, index: failure.index + first })),
        };
      } catch (error) {
        tensor.dispose();
        throw error;
      }
    }
  } finally {
    for (const group of ahead) void group.then((found) => found?.decoded.then(({ tensor }) => tensor.dispose())).catch(() => undefined);
    // Not awaited: a generator of the caller's closes only after the element that it is at.
    void reading.then(() => source.return()).catch(() => undefined);
  }
}

async function groupOf(source: AsyncGenerator<PlacedItem, void, undefined>, size: number, skip: number, signal?: AbortSignal): Promise<PlacedItem[]> {
  const items: PlacedItem[] = [];
  for (let count = -skip; count < size; count++) {
    const next: IteratorResult<PlacedItem, void> = await untilAborted(source.next(), signal);
    if (next.done === true) break;
    if (count >= 0) items.push(next.value);
  }
  return items;
}

function decodeGroup(items: readonly PlacedItem[], { geometry, augmentation, order, maxPixels, truncated, onError, signal }: CheckedBatchOptions) {
  const draws = order === undefined || !varies(augmentation) ? undefined : { augmentation, order };
  const decoded = decodeRows(
    items.map(({ image }) => image),
    {
      ...geometry,
      ...{ maxPixels, truncated, signal },
      ...(draws && {
        vary: (i: number, width: number, height: number) => {
          return drawVariation(draws.augmentation, { ...draws.order, place: (items[i] as PlacedItem).place }, width, height);
        },
      }),
    },
    onError !== "throw",
  );
  decoded.catch(() => undefined); // whoever comes to the group reports it; until then it must not count as unhandled
  return decoded;
}

/** `onError` of a group that has `before` images before it. */
function moved(onError: OnError, before: number): OnError {
  if (typeof onError !== "function") return onError;
  return (failure) => onError({ ...failure, index: failure.index + before });
}
