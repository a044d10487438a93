// Compares tensors by name with those of a network; the error lists everything that does not fit.

import { describe, fail } from "../../core/checks";
import { LibtorchOodError } from "../../core/errors";
import { Tensor, toTensor, type ArrayWithShape } from "../../native/tensor";

/** Names that a message has room for. */
const mostNames = 6;

/** Copies a caller's weights as they are now. @throws ERR_OPTION, ERR_DTYPE for a value that is no tensor */
export function takeWeights(
  weights: ReadonlyMap<string, Tensor | ArrayWithShape | number | bigint>,
): Map<string, Tensor | number | bigint> {
  const taken = new Map<string, Tensor | number | bigint>();
  for (const [name, value] of weights)
    taken.set(name, typeof value === "number" || typeof value === "bigint" ? value : toTensor(value, name));
  return taken;
}

/**
 * The tensors of a network in its order, from those given.
 *
 * @param given - the result of {@link takeWeights}
 * @throws ERR_SHAPE naming those that are missing, surplus or of another shape; ERR_OPTION where some are surplus and nothing else is wrong
 */
export function fittingState(
  given: ReadonlyMap<string, Tensor | number | bigint>,
  own: ReadonlyMap<string, Tensor>,
): { name: string; tensor: Tensor }[] {
  const state: { name: string; tensor: Tensor }[] = [];
  for (const [name, expected] of own) {
    const value = given.get(name);
    if (value === undefined) continue;
    const { shape, dtype } = expected;
    if (Tensor.is(value) && value.disposed) throw new LibtorchOodError("ERR_DISPOSED", `${name}: the tensor has been disposed`);
    if (dtype !== "int64" && !Tensor.is(value)) fail("ERR_OPTION", name, `a tensor of shape [${shape.join(", ")}]`, value);
    const tensor = dtype === "int64" ? counter(value, name) : (value as Tensor);
    state.push({ name, tensor });
  }
  const found = new Map<string, readonly number[]>([...given.keys()].map((name) => [name, []]));
  for (const { name, tensor } of state) found.set(name, tensor.shape);
  const { surplus, onlySurplus, text } = differences(found, new Map([...own].map(([name, { shape }]) => [name, shape])));
  if (text !== "") {
    throw new LibtorchOodError(
      onlySurplus ? "ERR_OPTION" : "ERR_SHAPE",
      `weights: expected the ${own.size} tensors of model.weights(), found ${text}${advice(surplus, own)}`,
    );
  }
  return state;
}

/** What of the tensors `found` is missing, surplus or of another shape; an empty text where nothing is. */
export function differences(
  found: ReadonlyMap<string, readonly number[]>,
  expected: ReadonlyMap<string, readonly number[]>,
): { surplus: string[]; onlySurplus: boolean; text: string } {
  const missing = [...expected.keys()].filter((name) => !found.has(name));
  const surplus = [...found.keys()].filter((name) => !expected.has(name));
  const misshapen: string[] = [];
  for (const [name, shape] of expected) {
    const other = found.get(name);
    if (other === undefined || String(other) === String(shape)) continue;
    misshapen.push(`${name} (expected [${shape.join(", ")}], found [${other.join(", ")}])`);
  }
  const said = [list("missing", missing), list("not of this network", surplus), list("of another shape", misshapen)];
  const text = said.filter((part) => part !== "").join("; ");
  return { surplus, onlySurplus: missing.length + misshapen.length === 0, text };
}

/** Requires variances without a negative one: batch norms divide by their roots. @throws ERR_RANGE naming the tensor */
export function requireVariances(state: readonly { name: string; tensor: Tensor }[]): void {
  for (const { name, tensor } of state) {
    if (!name.endsWith("running_var")) continue;
    const negative = Array.from(tensor.toArray() as ArrayLike<number>).find((value) => value < 0);
    if (negative !== undefined) fail("ERR_RANGE", name, "variances, none negative", negative);
  }
}

function list(what: string, names: readonly string[]): string {
  if (names.length === 0) return "";
  const more = names.length > mostNames ? `, and ${names.length - mostNames} more` : "";
  return `${names.length} ${what}: ${names.slice(0, mostNames).map(shortened).join(", ")}${more}`;
}

function shortened(name: unknown): string {
  return typeof name === "string" ? (name.length > 120 ? `${name.slice(0, 117)}...` : name) : describe(name);
}

/** Advice where a surplus name becomes one of the network's by a renaming that other libraries do. */
function advice(surplus: readonly string[], own: ReadonlyMap<string, Tensor>): string {
  const renames: [rename: (name: string) => string, text: string][] = [
    [(name) => name.replace(".downsample.", ".shortcut."), 'torchvision\'s "downsample" is "shortcut" here'],
    [(name) => name.replace(/^module\./, ""), 'remove the prefix "module." of DataParallel'],
    [
      (name) => name.replace(/weight$/, "weight_orig"),
      "the network has a spectral norm, these weights have none: create it with spectralNorm: false",
    ],
    [(name) => name.replace(/weight_orig$/, "weight"), "these weights have a spectral norm: create the network with one"],
  ];
  const found = renames.filter(([rename]) =>
    surplus.some((name) => typeof name === "string" && rename(name) !== name && own.has(rename(name))),
  );
  return found.length === 0 ? "" : ` (${found.map(([, text]) => text).join("; ")})`;
}

/** A counter as a scalar int64 tensor, from a number or one element of any dtype. */
function counter(value: Tensor | number | bigint, name: string): Tensor {
  const count = Tensor.is(value) ? onlyElement(value) : value;
  if (count === undefined || (typeof count === "number" && !Number.isSafeInteger(count)) || count < 0) {
    throw new LibtorchOodError("ERR_SHAPE", `${name}: expected a whole number from 0 on, alone, found ${describe(count ?? value)}`);
  }
  return Tensor.from(BigInt64Array.of(BigInt(count)), []);
}

function onlyElement(tensor: Tensor): number | bigint | undefined {
  return tensor.size === 1 ? tensor.toArray()[0] : undefined;
}
