// How images are varied for training, for given draws: parts and colours are torchvision's (test/reference/augmentation.py); the draws' distribution.

import expected from "../reference/augmentation.json";
import { checkAugmentation, drawVariation } from "../../lib/data/augmentation";
import { checkGeometry } from "../../lib/images/geometry";
import { runNative } from "../../lib/native/call";
import { native, type NativeDecodedImage, type NativeVariation } from "../../lib/native/surface";
import { picture } from "./reference-picture";

const none: NativeVariation = { shiftX: 0, shiftY: 0, flip: false, colours: [] };

/** Planes of the size that a picture becomes. */
async function varied(
  image: Omit<NativeDecodedImage, "originalWidth" | "originalHeight">,
  variation: NativeVariation,
  { size, kernel = "bilinear", channels = 3 }: { size: number; kernel?: "bilinear" | "bicubic"; channels?: number },
): Promise<Uint8Array> {
  const geometry = checkGeometry({ size, kernel, channels }, "input");
  const planes = new Uint8Array(channels * size * size);
  const whole = { ...image, originalWidth: image.width, originalHeight: image.height, variation };
  await runNative(undefined, (control) => native().preprocessImages(control, [whole], geometry, planes, [0]));
  return planes;
}

const upright = (width: number, height: number, pixels: Uint8Array = picture(width, height, 3)) => ({
  ...({ pixels, width, height, channels: 3, layout: "interleaved", orientation: 1 } as const),
});

test.each(expected.cases.map((entry) => [JSON.stringify([entry.window, entry.flip, entry.kernel, ...entry.colours]), entry] as const))(
  "%s",
  async (_, { width, height, window, flip, kernel, colours, pixels }) => {
    const steps = colours.map(([change, factor]) => ({ change: change as "hue", factor: factor as number }));
    const variation = { ...none, window: window as [number, number, number, number], flip, colours: steps };
    const found = await varied(upright(width, height), variation, { size: expected.size, kernel: kernel as "bilinear" });
    const wanted = Buffer.from(pixels, "base64");
    const apart = found.map((value, i) => Math.abs(value - (wanted[i] as number)));
    if (colours.length === 0) expect(Buffer.compare(found, wanted)).toBe(0);
    // The mean grey of a contrast is summed in float32 there, in float64 here: where a product falls on a whole number, one level.
    else expect([Math.max(...apart) <= 1, apart.filter((value) => value > 0).length < found.length / 200]).toEqual([true, true]);
  },
);

test("a part is that of the upright picture, however it is stored", async () => {
  const [width, height] = [30, 20];
  const shown = picture(width, height, 3);
  const variation: NativeVariation = { ...none, window: [4, 3, 17, 11], flip: true };
  const wanted = await varied(upright(width, height, shown), variation, { size: 8 });
  // Where pixel (x, y) of the upright picture is stored, by EXIF orientation.
  const stored: Record<number, (x: number, y: number) => [number, number]> = {
    2: (x, y) => [width - 1 - x, y],
    3: (x, y) => [width - 1 - x, height - 1 - y],
    4: (x, y) => [x, height - 1 - y],
    5: (x, y) => [y, x],
    6: (x, y) => [y, width - 1 - x],
    7: (x, y) => [height - 1 - y, width - 1 - x],
    8: (x, y) => [height - 1 - y, x],
  };
  for (const [orientation, place] of Object.entries(stored)) {
    const turned = Number(orientation) > 4;
    const [w, h] = turned ? [height, width] : [width, height];
    const pixels = new Uint8Array(shown.length);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const [column, row] = place(x, y);
        pixels.set(shown.subarray((y * width + x) * 3, (y * width + x + 1) * 3), (row * w + column) * 3);
      }
    }
    const image = { ...upright(w, h, pixels), orientation: Number(orientation) };
    expect(Buffer.compare(await varied(image, variation, { size: 8 }), wanted)).toBe(0);
  }
});

test("a shift leaves black behind, before the flip", async () => {
  const pixels = Uint8Array.from({ length: 9 }, (_, i) => i + 1);
  const image = { ...upright(3, 3, pixels), channels: 1 };
  const by = async (shiftX: number, shiftY: number, flip: boolean) =>
    Array.from(await varied(image, { ...none, shiftX, shiftY, flip }, { size: 3, channels: 1 }));
  expect(await by(1, 0, false)).toEqual([2, 3, 0, 5, 6, 0, 8, 9, 0]);
  expect(await by(0, -2, false)).toEqual([0, 0, 0, 0, 0, 0, 1, 2, 3]);
  expect(await by(1, 0, true)).toEqual([0, 3, 2, 0, 6, 5, 0, 9, 8]);
  expect(await by(0, 0, true)).toEqual([3, 2, 1, 6, 5, 4, 9, 8, 7]);
});

describe("draws", () => {
  const draws = (options: Parameters<typeof checkAugmentation>[0], width = 500, height = 375, count = 4000) =>
    Array.from({ length: count }, (_, place) => drawVariation(checkAugmentation(options), { seed: 7, epoch: 3, place }, width, height));
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

  test("parts of the picture have the shares and proportions that were asked for", () => {
    const windows = draws("resized-crop-flip").map(({ window }) => window!);
    for (const [left, top, width, height] of windows) {
      expect(left >= 0 && top >= 0 && left + width <= 500 && top + height <= 375).toBe(true);
      expect(width / height).toBeGreaterThan(0.74);
      expect(width / height).toBeLessThan(1.35);
    }
    const shares = windows.map(([, , width, height]) => (width * height) / (500 * 375));
    expect(Math.min(...shares)).toBeGreaterThan(0.079);
    // torchvision draws 0.434 on average (20,000 of its get_params): large parts of a proportion that does not fit are drawn again.
    expect(Math.abs(mean(shares) - 0.434)).toBeLessThan(0.015);
    expect(Math.abs(mean(draws("resized-crop-flip").map(({ flip }) => Number(flip))) - 0.5)).toBeLessThan(0.03);
  });

  test("a picture of no fitting part is cut in its middle", () => {
    const [first] = draws({ resizedCrop: { scale: [1, 1] } }, 1000, 10, 1);
    expect(first!.window).toEqual([493, 0, 13, 10]);
    const [high] = draws({ resizedCrop: { scale: [1, 1] } }, 10, 1000, 1);
    expect(high!.window).toEqual([0, 493, 10, 13]);
  });

  test("shifts and colours", () => {
    const all = draws({ cropPadding: 4, colorJitter: { brightness: 0.4, saturation: 1.5, hue: 0.1 } });
    const shifts = new Set(all.map(({ shiftX }) => shiftX));
    expect([shifts.size, Math.min(...shifts), Math.max(...shifts)]).toEqual([9, -4, 4]);
    expect(new Set(all.map(({ colours }) => colours.map(({ change }) => change).join())).size).toBe(6);
    const factors = (name: string) => all.map(({ colours }) => colours.find(({ change }) => change === name)!.factor);
    for (const [name, least, most] of [
      ["brightness", 0.6, 1.4],
      ["saturation", 0, 2.5],
      ["hue", -0.1, 0.1],
    ] as const) {
      expect(Math.min(...factors(name))).toBeGreaterThanOrEqual(least);
      expect(Math.max(...factors(name))).toBeLessThanOrEqual(most);
      expect(Math.abs(mean(factors(name)) - (least + most) / 2)).toBeLessThan((most - least) / 30);
    }
    expect(all[0]!.colours.some(({ change }) => change === "contrast")).toBe(false);
  });
});
