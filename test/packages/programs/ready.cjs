// How long a program waits from require until the native part answers, in milliseconds.
const start = performance.now();
const { device } = require("libtorch-ood");
device.info();
console.log(performance.now() - start);
