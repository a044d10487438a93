// The same library by import and by require, and that it computes: eight distances by hand.
import { createRequire } from "node:module";
import { device, linalg, Tensor } from "libtorch-ood";

const required = createRequire(import.meta.url)("libtorch-ood");
const covariance = await linalg.covariance(Tensor.from(Float64Array.of(1, 2, 3, 4, 5, 9), [3, 2]));
console.log(JSON.stringify({ same: required.Tensor === Tensor, covariance: [...covariance.toArray()], libtorch: device.info().libtorch }));
