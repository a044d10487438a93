// How long a program waits, in milliseconds from before `require`: until that has returned, until the native part has made a
// tensor (ready), and until the first operation on the compute thread has answered; and of what `ready` consists.
const opened = [];
const { dlopen } = process;
process.dlopen = (...parameters) => {
  const from = performance.now();
  dlopen.apply(process, parameters);
  opened.push({ from, until: performance.now() });
};

const start = performance.now();
const { linalg, Tensor } = require("libtorch-ood");
const required = performance.now() - start;
const matrix = Tensor.from(Float64Array.of(1, 2, 3, 4, 5, 9), [3, 2]);
const ready = performance.now() - start;
process.dlopen = dlopen;

// Between the loader and the addon the loader opens libtorch's libraries.
const [loader, addon] = opened;
const stages = { modules: required, libtorch: addon.from - loader.until, addons: duration(loader) + duration(addon) };
void linalg.covariance(matrix).then(() => console.log(JSON.stringify({ required, ready, answered: performance.now() - start, stages })));

function duration({ from, until }) {
  return until - from;
}
