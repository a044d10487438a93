// Writes checkpoints while training goes on, one at a time; of several that wait, only the newest is written.

import type { NativeNamedTensor } from "../../native/surface";
import { Tensor } from "../../native/tensor";
import { writeModelFile, type ModelDescription, type NamedTensor } from "./model-file";

export interface Snapshot {
  description: ModelDescription;
  state: NativeNamedTensor[];
  momentum: NativeNamedTensor[];
}

export class CheckpointWriter {
  #writing: Promise<void> | undefined;
  #next: Snapshot | undefined;

  constructor(
    private readonly path: string,
    private readonly onError: (error: unknown) => void,
  ) {}

  /** Takes the snapshot over: its tensors are disposed when they are written or a newer snapshot replaces them. */
  add(snapshot: Snapshot): void {
    if (this.#next) disposeSnapshot(this.#next);
    this.#next = snapshot;
    this.#writing ??= this.#writeAll().catch(this.onError);
  }

  /** Resolves when every snapshot is on disk or has failed; `onError` is told of failures. */
  async finish(): Promise<void> {
    await this.#writing;
  }

  async #writeAll(): Promise<void> {
    try {
      while (this.#next) {
        const snapshot = this.#next;
        this.#next = undefined;
        try {
          await writeModelFile(this.path, snapshot.description, wrap(snapshot.state), wrap(snapshot.momentum));
        } finally {
          disposeSnapshot(snapshot);
        }
      }
    } finally {
      this.#writing = undefined;
    }
  }
}

function wrap(tensors: readonly NativeNamedTensor[]): NamedTensor[] {
  return tensors.map(({ name, tensor }) => ({ name, tensor: new Tensor(tensor) }));
}

function disposeSnapshot({ state, momentum }: Snapshot): void {
  for (const { tensor } of [...state, ...momentum]) tensor.dispose();
}
