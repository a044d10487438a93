// Which values of a graph give features and logits: those of the last linear layer, or those that the caller names.

import { listed } from "../../core/checks";
import { LibtorchOodError } from "../../core/errors";
import type { OnnxGraph } from "./graph";
import { lastLayers, type LastLayer } from "./last-layer";

/** The values that are computed. */
export interface GraphValues {
  readonly features: string;
  readonly logits: string | undefined;
  /** Whether the logits are those of another layer than the one behind the features that the caller named, so that they may be left out. */
  readonly logitsByTheWay: boolean;
  /** The layer between the two; undefined where they are not one layer's. */
  readonly layer: LastLayer | undefined;
}

/** @throws ERR_OPTION where no linear layer, or more than one, makes the outputs and the caller names no value; and for a name that no value has */
export function graphValues(
  graph: OnnxGraph,
  named: { readonly features: string | undefined; readonly logits: string | undefined },
  model: string,
): GraphValues {
  const layers = lastLayers(graph);
  requireValue(graph, named.features, "features", model);
  requireValue(graph, named.logits, "logits", model);
  const candidates = layers.filter(
    ({ features, logits }) => (named.features ?? features) === features && (named.logits ?? logits) === logits,
  );
  const layer = candidates.length === 1 ? candidates[0] : undefined;
  const features = named.features ?? layer?.features;
  if (features === undefined) {
    const found =
      layers.length === 0
        ? `no Gemm or MatMul by constants behind the outputs ${listed(graph.outputs)}`
        : `${layers.length}, which give ${listed(layers.map(({ logits }) => logits))}`;
    const advice = 'name values with the options "features" and "logits"';
    throw new LibtorchOodError("ERR_OPTION", `${model}: expected one last linear layer, found ${found}; ${advice}`);
  }
  const only = layers.length === 1 ? layers[0]?.logits : undefined;
  const stated = named.logits ?? layer?.logits;
  return { features, logits: stated ?? only, logitsByTheWay: stated === undefined, layer };
}

function requireValue(graph: OnnxGraph, name: string | undefined, option: string, model: string): void {
  if (name === undefined || graph.nodes.some(({ outputs }) => outputs.includes(name))) return;
  const last = graph.nodes.slice(-5).flatMap(({ outputs }) => outputs);
  throw new LibtorchOodError(
    "ERR_OPTION",
    `${option}: expected the name of a value in ${model}, whose last are ${listed(last)}, found "${name}"`,
  );
}
