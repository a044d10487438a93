// The one way to own temporaries: a scope disposes of what it owns, the newest first, whatever happens meanwhile.

/** What is held until it is given back: tensors, native handles, scores, networks. */
export interface Disposable {
  dispose(): void | Promise<void>;
}

/**
 * Owns what a piece of work makes and nobody needs afterwards.
 *
 * @example
 * const posterior = await Scope.run(async (scope) => {
 *   const rows = scope.own(features.slice(0, 100)); // is gone after this, whether the next line throws or not
 *   return mixture.responsibilities(rows);
 * });
 */
export class Scope {
  readonly #owned = new Set<Disposable>();

  /** Runs the work, then disposes of all that its scope owns still; what needs time for that is waited for. */
  static async run<T>(work: (scope: Scope) => T | Promise<T>): Promise<T> {
    const scope = new Scope();
    try {
      return await work(scope);
    } finally {
      for (const item of scope.#taken()) await item.dispose();
    }
  }

  /** From now on the scope disposes of it, once. Nothing is owned of undefined. */
  own<T extends Disposable | undefined>(item: T): T {
    if (item !== undefined) this.#owned.add(item);
    return item;
  }

  /** As {@link own}, of each. */
  ownAll<T extends Iterable<Disposable | undefined>>(items: T): T {
    for (const item of items) this.own(item);
    return items;
  }

  /** The scope owns it no longer: whoever takes the result does. */
  release<T extends Disposable | undefined>(item: T): T {
    if (item !== undefined) this.#owned.delete(item);
    return item;
  }

  /** The scope owns nothing any longer: all is handed over. */
  releaseAll(): void {
    this.#owned.clear();
  }

  /** Disposes of all that is owned, the newest first, without waiting. */
  dispose(): void {
    for (const item of this.#taken()) void item.dispose();
  }

  #taken(): Disposable[] {
    const items = [...this.#owned].reverse();
    this.#owned.clear();
    return items;
  }
}
