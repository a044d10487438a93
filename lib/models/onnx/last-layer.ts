// Finds the linear layer that makes the logits: the last Gemm, or MatMul with Add, on the way to an output of the graph.

import type { OnnxGraph, OnnxNode, OnnxTensor } from "./graph";

/** A linear layer: logits = alpha · features · weight + beta · bias. */
export interface LastLayer {
  /** Name of the value that goes into the layer. */
  readonly features: string;
  /** Name of the value that comes out of it. */
  readonly logits: string;
  /** The weight [d, C], or [C, d] where `transposed`; undefined where it is computed from constants in a way that is not read. */
  readonly weight: { readonly tensor: OnnxTensor; readonly transposed: boolean } | undefined;
  /** The bias; undefined where the layer has none; "unread" where it is computed. */
  readonly bias: OnnxTensor | "unread" | undefined;
  readonly alpha: number;
  readonly beta: number;
}

/** They change the form of the logits, or make other numbers of each, but mix in no more of the features. */
const behindLogits = new Set([
  ...["Softmax", "LogSoftmax", "Sigmoid", "Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Dropout", "ArgMax", "TopK"],
]);
/** Their result is constant where all their inputs are. */
const ofConstants = new Set(["Identity", "Cast", "Transpose", "DequantizeLinear", "Reshape", "Unsqueeze", "Squeeze"]);
/** Longer chains of constants do not occur. */
const mostSteps = 16;

/** The linear layers behind the graph's outputs, each once. Two outputs may show one layer, as its logits and their softmax. */
export function lastLayers(graph: OnnxGraph): LastLayer[] {
  const search = new Search(graph);
  const layers = new Map<string, LastLayer>();
  for (const output of graph.outputs) {
    const layer = search.behind(output);
    if (layer !== undefined) layers.set(layer.logits, layer);
  }
  return [...layers.values()];
}

class Search {
  readonly #producers = new Map<string, OnnxNode>();

  constructor(private readonly graph: OnnxGraph) {
    for (const node of graph.nodes) for (const output of node.outputs) this.#producers.set(output, node);
  }

  behind(output: string): LastLayer | undefined {
    let value = output;
    // No path is longer than the graph has nodes, unless it goes in a circle.
    for (let steps = 0; steps <= this.graph.nodes.length; steps++) {
      const node = this.#producers.get(value);
      if (node === undefined) return undefined;
      if (node.op === "Gemm" || node.op === "MatMul") return this.#product(node, value);
      if (node.op === "Add") return this.#sum(node, value);
      if (!behindLogits.has(node.op)) return undefined;
      value = node.inputs[0] ?? "";
    }
    return undefined;
  }

  #product(node: OnnxNode, logits: string): LastLayer | undefined {
    const [features = "", weight = "", bias = ""] = node.inputs;
    const attribute = (name: string): number => node.attributes.get(name)?.integer ?? 0;
    if (!this.#isConstant(weight) || this.#isConstant(features) || attribute("transA") !== 0) return undefined;
    const factor = (name: string): number => node.attributes.get(name)?.float ?? 1;
    const gemm = node.op === "Gemm";
    return {
      features,
      logits,
      weight: this.#weight(weight, gemm && attribute("transB") !== 0),
      bias: gemm && bias !== "" ? this.#read(bias) : undefined,
      alpha: gemm ? factor("alpha") : 1,
      beta: gemm ? factor("beta") : 1,
    };
  }

  /** A bias that stands on its own, on either side of a product. */
  #sum(node: OnnxNode, logits: string): LastLayer | undefined {
    for (const [product, bias] of [node.inputs, [...node.inputs].reverse()] as [string, string][]) {
      const made = this.#producers.get(product);
      if (made?.op !== "MatMul" || !this.#isConstant(bias)) continue;
      const layer = this.#product(made, logits);
      if (layer !== undefined) return { ...layer, bias: this.#read(bias) };
    }
    return undefined;
  }

  #isConstant(name: string, steps = mostSteps): boolean {
    if (this.graph.constants.has(name)) return true;
    const node = this.#producers.get(name);
    if (node === undefined || steps === 0) return false;
    if (node.op === "Constant") return true;
    return ofConstants.has(node.op) && node.inputs.every((input) => input === "" || this.#isConstant(input, steps - 1));
  }

  #read(name: string): OnnxTensor | "unread" {
    return this.#weight(name, false)?.tensor ?? "unread";
  }

  /** The tensor behind copies, casts and transpositions. */
  #weight(name: string, transposed: boolean): LastLayer["weight"] {
    let value = name;
    let turned = transposed;
    for (let steps = 0; steps <= mostSteps; steps++) {
      const tensor = this.graph.constants.get(value);
      if (tensor !== undefined) return { tensor, transposed: turned };
      const node = this.#producers.get(value);
      if (node?.op === "Transpose") {
        const order = node.attributes.get("perm")?.integers ?? [];
        if (order.length > 0 && order.join() !== "1,0") return undefined;
        turned = !turned;
      } else if (node?.op !== "Identity" && node?.op !== "Cast") {
        return undefined;
      }
      value = node.inputs[0] ?? "";
    }
    return undefined;
  }
}
