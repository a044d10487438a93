// The inputs of bench/peers/inputs.py, equal to the last bit: an integer hash of a name and an index.

function seed(name) {
  let hash = 2166136261;
  for (const byte of Buffer.from(name)) hash = Math.imul(hash ^ byte, 16777619) >>> 0;
  return hash;
}

function word(base, index) {
  let h = (base + Math.imul(index, 0x9e3779b1)) | 0;
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** r(name, i), uniform in [-1, 1). */
export function uniform(name, count, ArrayType = Float32Array) {
  const base = seed(name);
  const values = new ArrayType(count);
  for (let i = 0; i < count; i++) values[i] = word(base, i) / 2 ** 31 - 1;
  return values;
}

/** float64 [rows, columns]: r(name, i columns + j) (1 + j mod 8) / 4 at (i, j). */
export function matrix(name, rows, columns) {
  return uniform(name, rows * columns, Float64Array).map((value, i) => (value * (1 + ((i % columns) % 8))) / 4);
}

/** Features [samples, dimensions] float32 of well-conditioned classes, labels i mod classes. */
export function features(run, samples, dimensions, classes) {
  const means = uniform(`means ${run}`, classes * dimensions).map((value) => 2 * value);
  const values = uniform(`features ${run}`, samples * dimensions);
  for (let i = 0; i < samples; i++) {
    const offset = (i % classes) * dimensions;
    for (let j = 0; j < dimensions; j++) values[i * dimensions + j] += means[offset + j];
  }
  return { values, labels: Int32Array.from({ length: samples }, (_, i) => i % classes) };
}

/** uint8 images [count, 3, size, size], labels i mod 10. */
export function images(run, count, size = 32) {
  const base = seed(`images ${run}`);
  const values = new Uint8Array(count * 3 * size ** 2);
  for (let i = 0; i < values.length; i++) values[i] = word(base, i) >>> 24;
  return { values, labels: Int32Array.from({ length: count }, (_, i) => i % 10) };
}
