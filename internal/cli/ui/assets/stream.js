// SPDX-License-Identifier: Apache-2.0

// What the server says by itself: how far it has read the cluster, the pools, and the map that is looked at, whole at first and then
// what changes of it.

export class Stream extends EventTarget {
  #source;
  #watching;

  // watch follows the map of a prefix of a pool, or none of past times. Following begins anew only if that is another.
  watch(pool, prefix) {
    const query = new URLSearchParams(pool ? { pool, prefix: prefix ?? '' } : {}).toString();
    if (query === this.#watching && this.#source?.readyState !== EventSource.CLOSED) return;
    this.#watching = query;
    this.#source?.close();
    const source = new EventSource(`api/stream?${query}`);
    this.#source = source;
    for (const name of ['sync', 'pools', 'map', 'delta', 'refused']) {
      source.addEventListener(name, (event) => this.#tell(name, JSON.parse(event.data)));
    }
    source.onerror = () => this.#tell('lost', {});
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
