// How training images are varied: the options, their checks, and the draws for one image, which follow from seed, epoch and place alone.

import { boolean, describe, finite, integer, oneOf, optionsObject } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { shortList } from "../core/lists";
import { seededUint32, seedOf } from "../core/random";
import { bounded } from "../core/random-permutation";
import type { NativeColorStep, NativeVariation } from "../native/surface";

/** How training images are varied. Every draw follows from the seed, the epoch and the image's place in the epoch's order. */
export interface AugmentationOptions {
  /** Width in pixels of the black border out of which a random crop of the original size is taken, 0 to 4096. Default 0: no crop. */
  cropPadding?: number;
  /** Each image is mirrored with probability 1/2. Default false. */
  horizontalFlip?: boolean;
  /**
   * A random part of the picture is resized to the network's size, in place of the usual resize and centre crop, as torchvision's `RandomResizedCrop`
   * does. `scale` bounds the share of the picture's area, `ratio` width ÷ height, which is drawn on a logarithmic scale. `true` is `scale: [0.08, 1]`
   * and `ratio: [3/4, 4/3]`. Default false.
   */
  resizedCrop?:
    | boolean
    | {
        /** Least and largest share of the area, above 0 and up to 1. Default [0.08, 1]. */
        scale?: readonly [number, number];
        /** Least and largest width ÷ height, above 0. Default [3/4, 4/3]. */
        ratio?: readonly [number, number];
      };
  /**
   * Colours are changed in random order, as torchvision's `ColorJitter` does with uint8 tensors: the factors of brightness, contrast and saturation are
   * drawn from 1 − x (at least 0) to 1 + x, the turn of the hue from −x to x, of which 1 is a whole turn. Default: none of them.
   */
  colorJitter?: {
    /** Default 0. */
    brightness?: number;
    /** Default 0. */
    contrast?: number;
    /** Default 0. */
    saturation?: number;
    /** At most 0.5. Default 0. */
    hue?: number;
  };
}

/** {@link AugmentationOptions}, checked, without what changes nothing. */
export interface Augmentation {
  cropPadding: number;
  horizontalFlip: boolean;
  resizedCrop?: { scale: [number, number]; ratio: [number, number] } | undefined;
  colorJitter?: { brightness: number; contrast: number; saturation: number; hue: number } | undefined;
}

export const augmentationNames = ["none", "crop-flip", "resized-crop-flip"] as const;

/** "none"; "crop-flip", for small images as CIFAR's; "resized-crop-flip", for photographs; or each by itself. */
export type AugmentationChoice = (typeof augmentationNames)[number] | AugmentationOptions;

const none: Augmentation = { cropPadding: 0, horizontalFlip: false };
const usualCrop = { scale: [0.08, 1] as [number, number], ratio: [3 / 4, 4 / 3] as [number, number] };

/** @throws ERR_OPTION for an unknown name or key and a value of another type; ERR_RANGE for a number outside its range; ERR_NON_FINITE */
export function checkAugmentation(value: AugmentationChoice | undefined, name = "augmentation"): Augmentation {
  if (value === undefined) return none;
  if (typeof value === "string") {
    const named = oneOf(value, name, augmentationNames);
    if (named === "none") return none;
    return named === "crop-flip" ? { cropPadding: 4, horizontalFlip: true } : { ...none, horizontalFlip: true, resizedCrop: usualCrop };
  }
  const given = optionsObject(value, name, ["cropPadding", "horizontalFlip", "resizedCrop", "colorJitter"]);
  const resizedCrop = checkResizedCrop(given.resizedCrop, `${name}.resizedCrop`);
  const colorJitter = checkColorJitter(given.colorJitter, `${name}.colorJitter`);
  return {
    cropPadding: integer(given.cropPadding ?? 0, `${name}.cropPadding`, 0, 4096),
    horizontalFlip: boolean(given.horizontalFlip ?? false, `${name}.horizontalFlip`),
    ...(resizedCrop && { resizedCrop }),
    ...(colorJitter && { colorJitter }),
  };
}

/** Whether it changes anything. */
export function varies(augmentation: Augmentation): boolean {
  return augmentation.cropPadding > 0 || augmentation.horizontalFlip || variesPictures(augmentation);
}

/** Whether it takes a part of the picture as it was before its resize, or changes colours: what only a picture's decoding can do. */
export function variesPictures({ resizedCrop, colorJitter }: Augmentation): boolean {
  return resizedCrop !== undefined || colorJitter !== undefined;
}

function checkResizedCrop(value: AugmentationOptions["resizedCrop"], name: string): Augmentation["resizedCrop"] {
  if (value === undefined || value === false) return undefined;
  if (value === true) return usualCrop;
  const { scale = usualCrop.scale, ratio = usualCrop.ratio } = optionsObject(value, name, ["scale", "ratio"]);
  return { scale: checkBounds(scale, `${name}.scale`, 1), ratio: checkBounds(ratio, `${name}.ratio`, 1e6) };
}

function checkBounds(value: readonly [number, number], name: string, largest: number): [number, number] {
  const list = shortList(value, 2);
  if (list?.length === 2) {
    const [least, most] = list.map((bound, i) => finite(bound as number, `${name}[${i}]`, 1e-6, largest)) as [number, number];
    if (least <= most) return [least, most];
  }
  throw new LibtorchOodError("ERR_RANGE", `${name}: expected [least, largest], found ${describe(value)}`);
}

function checkColorJitter(value: AugmentationOptions["colorJitter"], name: string): Augmentation["colorJitter"] {
  if (value === undefined) return undefined;
  const given = optionsObject(value, name, ["brightness", "contrast", "saturation", "hue"]);
  const share = (key: keyof typeof given, largest: number): number => finite(given[key] ?? 0, `${name}.${key}`, 0, largest);
  const checked = {
    brightness: share("brightness", 100),
    contrast: share("contrast", 100),
    saturation: share("saturation", 100),
    hue: share("hue", 0.5),
  };
  return Object.values(checked).some((strength) => strength > 0) ? checked : undefined;
}

/** What becomes of the image at `place` of an epoch's order, whose picture has these sizes when it is upright. */
export function drawVariation(
  augmentation: Augmentation,
  { seed, epoch, place }: { seed: number; epoch: number; place: number },
  width: number,
  height: number,
): NativeVariation {
  const { cropPadding, horizontalFlip, resizedCrop, colorJitter } = augmentation;
  const random = seededUint32(seedOf(seed, epoch, place));
  /** 0 to 1, without 1; of 53 bits. */
  const fraction = (): number => ((random() >>> 5) * 0x4000000 + (random() >>> 6)) / 2 ** 53;
  const between = (least: number, most: number): number => least + (most - least) * fraction();
  const window = resizedCrop && drawWindow(resizedCrop, width, height, between, (bound) => bounded(random, bound));
  const shift = (): number => (cropPadding === 0 ? 0 : bounded(random, 2 * cropPadding + 1) - cropPadding);
  const [shiftX, shiftY] = [shift(), shift()];
  const flip = horizontalFlip && random() >= 2 ** 31;
  const colours: NativeColorStep[] = [];
  if (colorJitter !== undefined) {
    for (const change of ["brightness", "contrast", "saturation", "hue"] as const) {
      const strength = colorJitter[change];
      const middle = change === "hue" ? 0 : 1;
      if (strength > 0) {
        colours.push({ change, factor: between(change === "hue" ? -strength : Math.max(0, middle - strength), middle + strength) });
      }
    }
    for (let last = colours.length - 1; last > 0; last--) {
      const other = bounded(random, last + 1);
      [colours[last], colours[other]] = [colours[other] as NativeColorStep, colours[last] as NativeColorStep];
    }
  }
  return { ...(window && { window }), shiftX, shiftY, flip, colours };
}

/** Left, top, width and height, as `RandomResizedCrop.get_params` of torchvision draws them. */
function drawWindow(
  { scale, ratio }: NonNullable<Augmentation["resizedCrop"]>,
  width: number,
  height: number,
  between: (least: number, most: number) => number,
  below: (bound: number) => number,
): [number, number, number, number] {
  for (let attempt = 0; attempt < 10; attempt++) {
    const area = width * height * between(...scale);
    const aspect = Math.exp(between(Math.log(ratio[0]), Math.log(ratio[1])));
    const [w, h] = [Math.round(Math.sqrt(area * aspect)), Math.round(Math.sqrt(area / aspect))];
    if (w > 0 && h > 0 && w <= width && h <= height) {
      const top = below(height - h + 1);
      return [below(width - w + 1), top, w, h];
    }
  }
  const own = width / height;
  const [w, h] =
    own < ratio[0]
      ? [width, Math.max(1, Math.round(width / ratio[0]))]
      : own > ratio[1]
        ? [Math.max(1, Math.round(height * ratio[1])), height]
        : [width, height];
  return [Math.floor((width - w) / 2), Math.floor((height - h) / 2), w, Math.min(h, height)];
}
