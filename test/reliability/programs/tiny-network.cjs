// The network and the data of these programs: small, so that a program's time is that of its start.
const { Dataset, device, ResNet } = require("../../../dist/index.js");

const normalization = { mean: [0.5], std: [0.25] };

exports.network = (options = {}) => ResNet.create({ numClasses: 3, inChannels: 1, imageSize: 8, width: 0.125, normalization, ...options });

exports.data = (count, size = 8) =>
  Dataset.fromArrays({
    images: Uint8Array.from({ length: count * size * size }, (_, i) => Math.imul(i, 0x9e3779b1) >>> 24),
    labels: Array.from({ length: count }, (_, i) => i % 3),
    shape: [1, size, size],
    normalization,
  });

/** Two threads only get in each other's way on such a network. */
exports.useOneThread = () => device.setThreads(1);
