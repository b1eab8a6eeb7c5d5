/** Bind groups that were made, kept for the next step as long as their buffers live. */

/** A loop over slices of one big tensor binds it at ever new offsets. */
const mostGroups = 8192;

export class BindGroupCache<Group> {
  readonly #groups = new Map<string, { group: Group; buffers: ReadonlySet<number> }>();
  /** Keys of groups by the ids of their buffers. */
  readonly #keysOfBuffer = new Map<number, Set<string>>();

  get(key: string): Group | undefined {
    return this.#groups.get(key)?.group;
  }

  set(key: string, group: Group, buffers: ReadonlySet<number>): void {
    if (this.#groups.size >= mostGroups) {
      this.#groups.clear();
      this.#keysOfBuffer.clear();
    }
    this.#groups.set(key, { group, buffers });
    for (const buffer of buffers) {
      const keys = this.#keysOfBuffer.get(buffer);
      if (keys) keys.add(key);
      else this.#keysOfBuffer.set(buffer, new Set([key]));
    }
  }

  /** Lets the groups of a buffer go that is to be destroyed; nothing of them stays with their other buffers. */
  forget(buffer: number): void {
    for (const key of this.#keysOfBuffer.get(buffer) ?? []) {
      for (const other of this.#groups.get(key)?.buffers ?? []) {
        if (other === buffer) continue;
        const keys = this.#keysOfBuffer.get(other);
        keys?.delete(key);
        if (keys?.size === 0) this.#keysOfBuffer.delete(other);
      }
      this.#groups.delete(key);
    }
    this.#keysOfBuffer.delete(buffer);
  }

  /** Groups, and the keys by which their buffers find them. */
  get size(): { groups: number; keys: number } {
    const keys = [...this.#keysOfBuffer.values()].reduce((sum, { size }) => sum + size, 0);
    return { groups: this.#groups.size, keys };
  }
}
