// SPDX-License-Identifier: Apache-2.0

import { latest } from './api.js';
import { el, replace } from './dom.js';
import { moment } from './format.js';
import { states } from './states.js';

const height = 30;
const headings = ['Address', 'State', 'MAC', 'Namespace', 'Claim', 'Pod', 'Node', 'Since'];

// Table says what the map shows, a row for each address. Only the rows that are seen are in the document.
export class Table {
  #model;
  #place;
  #lit = null;
  #indexes = [];
  #asked = latest('rows');

  // on has open(index) and failed(error).
  constructor(root, on) {
    this.on = on;
    this.above = el('tr', { class: 'space', 'aria-hidden': 'true' });
    this.below = el('tr', { class: 'space', 'aria-hidden': 'true' });
    this.body = el('tbody');
    this.table = el('table', { 'aria-label': 'Addresses of the pool' },
      el('thead', {}, el('tr', { 'aria-rowindex': 1 }, headings.map((heading) => el('th', { scope: 'col' }, heading)))), this.body);
    this.root = el('div', { class: 'rows', tabindex: 0, role: 'region', 'aria-label': 'Addresses', scroll: () => this.#load() }, this.table);
    root.append(this.root);
    new ResizeObserver(() => this.#load()).observe(this.root);
  }

  show(model, place) {
    if (model.key !== this.#model?.key) this.root.scrollTop = 0;
    this.#model = model;
    this.#place = place;
    this.refresh();
  }

  light(letter) {
    this.#lit = letter;
    this.root.scrollTop = 0;
    this.refresh();
  }

  // refresh chooses the rows anew. Without a state that is to stand out, they are all that are more than what
  // the pool says of them.
  refresh() {
    if (!this.#model) return;
    const plain = this.#model.step === 0 ? '.-xE' : '';
    const wanted = (letter) => (this.#lit === null ? !plain.includes(letter) : letter === this.#lit);
    this.#indexes = [];
    this.#model.letters.forEach((letter, index) => {
      if (wanted(letter)) this.#indexes.push(index);
    });
    this.table.setAttribute('aria-rowcount', this.#indexes.length + 1);
    this.#load();
  }

  async #load() {
    if (!this.#model || this.root.hidden || this.root.clientHeight === 0) return;
    const first = Math.max(0, Math.floor(this.root.scrollTop / height) - 5);
    const seen = this.#indexes.slice(first, first + Math.ceil(this.root.clientHeight / height) + 10);
    let rows = [];
    try {
      if (seen.length > 0 && this.#model.step === 0) {
        const answer = await this.#asked({ pool: this.#place.pool, prefix: this.#place.prefix, at: this.#place.at, indexes: seen.join() });
        if (!answer) return;
        rows = answer.rows;
      } else {
        rows = seen.map((index) => ({ index }));
      }
    } catch (error) {
      this.on.failed(error);
      return;
    }
    this.#fill(rows, first);
  }

  #fill(rows, first) {
    this.above.style.height = `${first * height}px`;
    this.below.style.height = `${Math.max(0, this.#indexes.length - first - rows.length) * height}px`;
    const none = el('tr', {}, el('td', { colspan: headings.length }, this.#lit === null ? 'No address is leased, reserved or in conflict.' : `No address is ${states[this.#lit].says}.`));
    replace(this.body, [this.above, ...(rows.length > 0 ? rows.map((row, i) => this.#row(row, first + i + 2)) : [none]), this.below]);
  }

  #row(row, number) {
    const state = states[this.#model.letters[row.index]];
    const name = this.#model.step === 0 ? this.#model.address(row.index) : this.#model.prefix(row.index);
    const says = this.#model.step === 0 ? state.name : `${this.#model.fill[row.index]} % leased`;
    const cells = [el('span', { class: `state ${state.key}` }, says), row.mac, row.namespace, row.claim, row.pod, row.node, row.since ? moment(row.since) : ''];
    return el('tr', { 'aria-rowindex': number },
      el('th', { scope: 'row' }, el('button', { type: 'button', class: 'plain', 'data-key': `row-${row.index}`, click: () => this.on.open(row.index) }, name)),
      cells.map((cell) => el('td', {}, cell ?? '')));
  }
}
