// The first verdict of a program that requires the library: a detector over a ResNet18, saved, loaded, asked about an image.
const { Dataset, Detector, ResNet, Tensor } = require("libtorch-ood");

const classNames = ["dark", "bright"];
const size = 3 * 32 * 32;

void (async () => {
  const network = await ResNet.create({ depth: 18, numClasses: 2, seed: 1 });
  network.normalization = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };
  const detector = await Detector.fit(network, images(200, 1), { calibration: images(50, 2) });
  await detector.save("detector.safetensors");
  const image = Tensor.from(images(1, 3).images, [1, 3, 32, 32]);
  const [answer] = await (await Detector.load("detector.safetensors")).predict(image);
  console.log(JSON.stringify(answer));
})();

// Every second one is bright.
function images(count, seed) {
  let state = seed;
  const random = () => (state = (state * 48271) % 2147483647) / 2147483647;
  const pixels = Uint8Array.from({ length: count * size }, (_, i) => 100 * random() + 140 * (Math.floor(i / size) % 2));
  return Dataset.fromArrays({
    images: pixels,
    labels: Int32Array.from({ length: count }, (_, i) => i % 2),
    shape: [3, 32, 32],
    classNames,
  });
}
