// The form that the images of a data set get: size, channels and resize, or the preprocessing of a model.

import { fail, integer, oneOf } from "../core/checks";
import { checkGeometry, imageResizes, maxModelSide, type ImageGeometry, type ImageResize } from "../images/geometry";
import type { Normalization } from "./normalization";
import { checkPreprocessing, type PreprocessingName, type PreprocessingOptions } from "./preprocessing";

/** Options that say which form images get, before they are checked. */
export interface FormOptions {
  readonly imageSize?: number | undefined;
  readonly channels?: number | undefined;
  readonly resize?: ImageResize | undefined;
  readonly preprocessing?: PreprocessingOptions | PreprocessingName | undefined;
}

/** A checked form. */
export interface Form {
  readonly geometry: ImageGeometry;
  /** Of the preprocessing; undefined where there is none. */
  readonly normalization: Normalization | undefined;
}

export const formKeys = ["imageSize", "channels", "resize", "preprocessing"] as const;

/**
 * The form that the options state: either `preprocessing`, or size, channels and resize.
 *
 * @param defaults - size and channels where neither is given; without them both are needed
 * @throws ERR_OPTION, also for both kinds at once; ERR_RANGE; ERR_SHAPE, ERR_NON_FINITE for a preprocessing's constants
 */
export function checkForm(options: FormOptions, defaults: { readonly imageSize?: number; readonly channels?: number } = {}): Form {
  const { preprocessing, resize } = options;
  if (preprocessing !== undefined) {
    const both = (["imageSize", "channels", "resize"] as const).find((key) => options[key] !== undefined);
    if (both !== undefined) fail("ERR_OPTION", both, "no such option beside preprocessing, which states it", options[both]);
    const { mean, std, ...geometry } = checkPreprocessing(preprocessing, "preprocessing");
    return { geometry, normalization: { mean, std } };
  }
  const channels = integer(options.channels ?? defaults.channels, "channels", 1);
  const size = integer(options.imageSize ?? defaults.imageSize, "imageSize", 1, maxModelSide);
  const geometry = checkGeometry({ channels, size, resize: oneOf(resize ?? "center-crop", "resize", imageResizes) }, "form");
  return { geometry, normalization: undefined };
}
