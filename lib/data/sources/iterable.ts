// A source over images that a program yields.

import { optionsObject } from "../../core/checks";
import { workingFolder } from "../../formats/path-text";
import { isImage, takeImages, type Image, type TakenImage } from "../../images/image";
import { labelled } from "./labels";
import { StreamedSource } from "./streamed-source";

/** An image with what is known of it. */
export interface LabelledImage {
  /** The image: encoded bytes, a path, a `file:` URL, a Blob or RGBA pixels. */
  image: Image;
  /** Its label, or the name of its class where the source has `classNames`. */
  label?: number | string;
  /** What lists and messages call it. Default: its path, or its number. */
  name?: string;
}

/** Options of {@link iterable}. */
export interface IterableOptions {
  /** Names of the classes, in label order. */
  classNames?: readonly string[];
  /** Number of images, where it is known beforehand. A cosine schedule needs it, and progress shows it. */
  length?: number;
  /** Number of images that are held at a time to be drawn from, where an order at random is asked for. Default 1024. */
  shuffleBuffer?: number;
}

type Yielded = Image | LabelledImage;

/**
 * Images that an iterable yields.
 *
 * @param images - an iterable, also an asynchronous one, of images or `{ image, label, name }`, which is read once; or a function that gives one for each
 *   epoch. Bytes and pixels are copied when they come
 * @throws ERR_OPTION for an unknown option or a value of another type; what it yields is checked as it comes
 * @example
 * import { sources } from "libtorch-ood";
 *
 * const rows = [{ picture: new Uint8Array(), kind: "cat" }]; // of a database
 * const source = sources.iterable(() => rows.map(({ picture, kind }) => ({ image: picture, label: kind })), { classNames: ["cat", "dog"] });
 */
export function iterable(
  images: Iterable<Yielded> | AsyncIterable<Yielded> | (() => Iterable<Yielded> | AsyncIterable<Yielded>),
  options?: IterableOptions,
): StreamedSource {
  const given = optionsObject(options, "options", ["classNames", "length", "shuffleBuffer"]);
  const label = labelled(undefined, given.classNames);
  const folder = workingFolder();
  const toItem = (value: unknown, index: number) => {
    const own = `images[${index}]`;
    const stated = isImage(value) ? { image: value } : optionsObject(value as LabelledImage, own, ["image", "label", "name"]);
    const [image] = takeImages([stated.image], "images", folder) as [TakenImage];
    const name = stated.name ?? ("path" in image ? image.name : own);
    return { image: { ...image, name }, label: label.number(stated.label, name) };
  };
  return StreamedSource.of(images, toItem, { ...given, classNames: label.classNames });
}
