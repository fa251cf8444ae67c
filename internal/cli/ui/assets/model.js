// SPDX-License-Identifier: Apache-2.0

import { formOf } from './address.js';
import { states } from './states.js';

// Model is a map as the server sends it: a letter for each cell. A cell is an address, or if there are too many, a prefix of 2^step of
// them: its letter is that of its gravest state, and fill is how much of it is leased, in hundredths.
export class Model {
  constructor(map) {
    const { pool, prefix, whole, step, fill, counts } = map;
    Object.assign(this, { pool, section: prefix, whole, step, fill, counts, key: `${pool} ${prefix}` });
    this.letters = map.states.split('');
    this.form = formOf(map.first);
    this.start = this.form.parse(map.first);
    this.size = this.letters.length;
  }

  // apply enters what has changed.
  apply(delta) {
    for (const [index, letter, fill] of delta.cells) {
      this.letters[index] = letter;
      if (this.fill) this.fill[index] = fill;
    }
    this.counts = delta.counts;
  }

  number(index) {
    return this.start + (BigInt(index) << BigInt(this.step));
  }

  address(index) {
    return this.form.write(this.number(index));
  }

  // prefix is the prefix of a cell that is one.
  prefix(index) {
    return `${this.address(index)}/${this.form.bits - this.step}`;
  }

  // index is the cell of an address; -1 if it has none, or the text is no address: the page's own address is anybody's to write.
  index(address) {
    if (!this.form.valid.test(address)) return -1;
    const index = (this.form.parse(address) - this.start) >> BigInt(this.step);
    return index >= 0n && index < BigInt(this.size) ? Number(index) : -1;
  }

  // says is what a cell is, in words.
  says(index) {
    const state = states[this.letters[index]];
    if (this.step === 0) return `${this.address(index)}, ${state.says}`;
    return `${this.prefix(index)}, ${this.fill[index]} % leased${state.key === 'conflicted' ? ', has conflicts' : ''}`;
  }
}
