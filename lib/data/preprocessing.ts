// Preprocessing: all that turns a picture into the numbers that a model reads, as one value that every file keeps.

import { fail, optionsObject } from "../core/checks";
import { checkGeometry, type ImageGeometry } from "../images/geometry";
import { checkNormalization, normalizations, type Normalization } from "./normalization";

/**
 * What a model's training did to its pictures in evaluation: decode, resize, crop in the middle, scale to 0 … 1, then (pixel − mean) / std.
 * {@link datasets.preprocessings} has the usual ones.
 */
export interface Preprocessing extends ImageGeometry, Normalization {}

/** Options that describe a {@link Preprocessing}; `size`, `mean` and `std` have no default. */
export type PreprocessingOptions = Pick<Preprocessing, "size" | "mean" | "std"> & Partial<Preprocessing>;

const imagenet: Normalization = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const clip: Normalization = { mean: [0.48145466, 0.4578275, 0.40821073], std: [0.26862954, 0.26130258, 0.27577711] };

/**
 * The preprocessings that published networks use.
 *
 * - `imagenet`: torchvision's `ImageClassification` (shorter side 256, crop 224, bilinear), whose mean and std are those of ImageNet.
 * - `imagenet-bicubic`: the same with a bicubic kernel, as many networks of timm and torchvision's ViT ask for.
 * - `clip`: OpenAI's CLIP (shorter side 224, crop 224, bicubic) with its own mean and std.
 * - `cifar10`: 32 pixels with the constants of the DDU benchmark.
 */
export const preprocessings: Readonly<Record<PreprocessingName, Preprocessing>> = Object.freeze({
  imagenet: frozen({ size: 224, resizeTo: 256, ...imagenet }),
  "imagenet-bicubic": frozen({ size: 224, resizeTo: 256, kernel: "bicubic", ...imagenet }),
  clip: frozen({ size: 224, resizeTo: 224, kernel: "bicubic", ...clip }),
  cifar10: frozen({ size: 32, ...normalizations.cifar10 }),
});

/** Name of one of the {@link preprocessings}. */
export type PreprocessingName = "imagenet" | "imagenet-bicubic" | "clip" | "cifar10";

const keys = ["channels", "size", "resize", "resizeTo", "kernel", "antialias", "mean", "std"] as const;

/**
 * A checked, frozen preprocessing with every default filled in.
 *
 * @param value - the options, or the name of one of the {@link preprocessings}
 * @throws ERR_OPTION for an unknown name or key and a value of another type; ERR_SHAPE where there is not one mean and std per channel; ERR_RANGE for a
 *   number outside its range; ERR_NON_FINITE for NaN and infinity
 */
export function checkPreprocessing(value: PreprocessingOptions | PreprocessingName, name = "input"): Preprocessing {
  if (typeof value === "string") {
    if (!Object.hasOwn(preprocessings, value)) {
      fail("ERR_OPTION", name, `one of ${Object.keys(preprocessings).join(", ")}, or an object`, value);
    }
    return preprocessings[value];
  }
  return frozen(optionsObject(value, name, keys), name);
}

function frozen(given: Partial<Preprocessing>, name = "input"): Preprocessing {
  const geometry = checkGeometry(given, name);
  const { mean, std } = given;
  return Object.freeze({ ...geometry, ...checkNormalization({ mean, std } as Normalization, geometry.channels, name) });
}
