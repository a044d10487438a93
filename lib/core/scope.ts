// The one way to own temporaries: a scope disposes of what it owns, the newest first, whether its work succeeds or throws.

/** What holds memory until it is disposed of: tensors, native handles, scores, networks. */
export interface Disposable {
  dispose(): void | Promise<void>;
}

/**
 * Owns what a piece of work makes and nobody needs afterwards.
 *
 * @example
 * const posterior = await Scope.run(async (scope) => {
 *   const rows = scope.own(features.slice(0, 100)); // is disposed of after this, whether the next line throws or not
 *   return mixture.responsibilities(rows);
 * });
 */
export class Scope {
  readonly #owned = new Set<Disposable>();

  /** Runs the work, then disposes of everything that its scope still owns, and waits for that. */
  static async run<T>(work: (scope: Scope) => T | Promise<T>): Promise<T> {
    const scope = new Scope();
    try {
      return await work(scope);
    } finally {
      for (const item of scope.#taken()) await item.dispose();
    }
  }

  /** The scope disposes of the item from now on, once. Undefined is ignored. */
  own<T extends Disposable | undefined>(item: T): T {
    if (item !== undefined) this.#owned.add(item);
    return item;
  }

  /** Calls {@link own} for each item. */
  ownAll<T extends Iterable<Disposable | undefined>>(items: T): T {
    for (const item of items) this.own(item);
    return items;
  }

  /** The scope no longer owns the item: whoever takes the result does. */
  release<T extends Disposable | undefined>(item: T): T {
    if (item !== undefined) this.#owned.delete(item);
    return item;
  }

  /** The scope no longer owns anything: everything is handed over. */
  releaseAll(): void {
    this.#owned.clear();
  }

  /** Disposes of everything that is owned, the newest first, without waiting. */
  dispose(): void {
    for (const item of this.#taken()) void item.dispose();
  }

  #taken(): Disposable[] {
    const items = [...this.#owned].reverse();
    this.#owned.clear();
    return items;
  }
}
