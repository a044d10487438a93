// How long a program waits, in milliseconds from before `require`: until that has returned, until the native part has made a
// tensor (ready), and until the first operation on the compute thread has answered.
const start = performance.now();
const { linalg, Tensor } = require("libtorch-ood");
const required = performance.now() - start;
const matrix = Tensor.from(Float64Array.of(1, 2, 3, 4, 5, 9), [3, 2]);
const ready = performance.now() - start;
void linalg.covariance(matrix).then(() => console.log(JSON.stringify({ required, ready, answered: performance.now() - start })));
