// Tiny ImageNet in small: layout, labels and words, pixels as Pillow's (test/reference/datasets_images.py), and what does not fit together.

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tinyImageNet, type TinyImageNetOptions } from "../../../lib/data";
import expected from "../../reference/datasets_images.json";
import { temporaryDirectory } from "../../support/temporary-directory";
import { largestGap, meanGap, planesOf } from "../pixel-gaps";

const directory = temporaryDirectory();
const { identifiers, images } = expected.tinyImageNet;
const annotations = images.map(({ name, identifier }) => `${name}\t${identifier}\t0\t1\t2\t3`);
const words = [
  "n00001740\tentity",
  "n01443537\tgoldfish, Carassius auratus",
  "n02124075\tEgyptian cat",
  "n04067472\treel",
  "n99999999\tnone",
];
const root = directory.path("tiny-imagenet-200");
const file = (name: string): string => `${root}/${name}`;

beforeEach(() => {
  rmSync(root, { recursive: true, force: true });
  mkdirSync(file("val/images"), { recursive: true });
  writeFileSync(file("wnids.txt"), identifiers.join("\n"));
  writeFileSync(file("words.txt"), words.join("\n"));
  writeFileSync(file("val/val_annotations.txt"), annotations.map((line) => `${line}\n`).join(""));
  for (const image of images) writeFileSync(file(`val/images/${image.name}`), Buffer.from(image.file, "base64"));
});

const read = async (options?: TinyImageNetOptions) => (await tinyImageNet(directory.path("."), { cache: false, ...options })).validation;

test("labels by sorted identifier, classes by their words, images in the order of the annotations", async () => {
  const data = await read();
  expect(data).toMatchObject({ name: "Tiny ImageNet validation", length: images.length, shape: [3, 32, 32], normalization: undefined });
  expect(data.classNames).toEqual(["goldfish, Carassius auratus", "Egyptian cat", "reel"]);
  expect(Array.from(data.labels)).toEqual(images.map(({ label }) => label));
  expect((await tinyImageNet(root, { cache: false })).validation.images).toEqual(data.images);
});

// Tolerances as in test/images/decode.test.ts; without a resize only the rounding of the JPEG decoders can differ.
test.each([
  [32, 8, 0.7],
  [64, 1, 0.01],
])("%i×%i pixels are Pillow's", async (imageSize, largest, mean) => {
  const data = await read({ imageSize });
  images.forEach((image, i) => {
    const wanted = planesOf(Buffer.from(imageSize === 32 ? image.size32 : image.size64, "base64"));
    expect(largestGap(data.image(i), wanted)).toBeLessThanOrEqual(largest);
    expect(meanGap(data.image(i), wanted)).toBeLessThan(mean);
  });
});

test("the cache is found again, from the directory or its parent", async () => {
  const cache = directory.path("cache");
  const calls: number[] = [];
  const onProgress = ({ done }: { done: number }) => void calls.push(done);
  const first = await read({ cache, onProgress });
  expect(calls).toEqual(images.map((_, i) => i + 1));
  const again = (await tinyImageNet(root, { cache, onProgress })).validation;
  for (const { resize } of [first, again]) expect(resize).toEqual({ mode: "squash", kernel: "antialiased-bilinear" });
  expect(calls.slice(images.length)).toEqual([images.length]);
  expect(again).toEqual(first);
});

test("two classes of the same words have their identifiers added", async () => {
  writeFileSync(file("words.txt"), words.map((line) => line.replace("Egyptian cat", "reel")).join("\r\n"));
  expect((await read()).classNames).toEqual(["goldfish, Carassius auratus", "reel (n02124075)", "reel (n04067472)"]);
});

test.each<[string, string, string | undefined, string]>([
  ["an image that is missing", "val/images/val_2.JPEG", undefined, "images: expected 6 images, one per line of"],
  ["an image without annotation", "val/images/val_9.JPEG", "x", "val_annotations.txt: expected a line for each of the 7 images in"],
  ["annotations cut off", "val/val_annotations.txt", annotations.slice(0, 4).join("\n"), "expected a line for each of the 6 images"],
  ["an annotation cut off", "val/val_annotations.txt", "val_0.JPEG\tn0212", 'expected an identifier of wnids.txt in line 1, found "n0212"'],
  ["an image twice", "val/val_annotations.txt", `${annotations[0]}\n${annotations[0]}`, "expected another image like val_0.JPEG in line 2"],
  ["a name that leads elsewhere", "val/val_annotations.txt", "../../words.JPEG\tn02124075", 'in line 1, found "../../words.JPEG"'],
  ["no annotations", "val/val_annotations.txt", "\n", "expected at least one image, found none"],
  ["identifiers that are none", "wnids.txt", "cat\ndog", 'expected different identifiers like n01443537, one a line, found "cat"'],
  ["an identifier twice", "wnids.txt", [...identifiers, identifiers[0]].join("\n"), 'one a line, found "n02124075"'],
  ["no identifiers", "wnids.txt", "", "one a line, found none"],
  [
    "a class without words",
    "words.txt",
    words.slice(0, 3).join("\n"),
    "words.txt: expected a line with the words for n04067472, found none",
  ],
  ["an image that is damaged", "val/images/val_3.JPEG", "hello", "val_3.JPEG: expected a PNG, JPEG, WebP, GIF, TIFF or AVIF image"],
])("%s: ERR_CORRUPT_FILE that says so", async (_, name, content, message) => {
  if (content === undefined) rmSync(file(name));
  else writeFileSync(file(name), content);
  const error = (await read().catch((reason: unknown) => reason)) as Error;
  expect(error).toMatchObject({ name: "LibtorchOodError", code: "ERR_CORRUPT_FILE" });
  expect(error.message).toContain(message);
  expect(error.message).toContain(root);
});

test("nothing there: ERR_IO; wrong options: ERR_OPTION", async () => {
  await expect(tinyImageNet(directory.path("absent"))).rejects.toMatchObject({
    code: "ERR_IO",
    message: expect.stringContaining("cannot find the annotations of Tiny ImageNet (validation)") as string,
  });
  await expect(read({ resize: "squash" } as never)).rejects.toMatchObject({ code: "ERR_OPTION" });
  await expect(read({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "ERR_ABORTED" });
});
