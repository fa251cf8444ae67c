// SPDX-License-Identifier: Apache-2.0

import { el } from './dom.js';

// Cells are the grid that the keyboard and a screen reader have: role grid, with the row in which the focus is. There are two rows in the
// document, and a step to another row fills the one and focuses into it, so that a reader hears of a new cell and not of a changed one.
export class Cells {
  index = 0;
  #rows = [];
  #current = 0;

  constructor(grid) {
    this.grid = grid;
    this.root = el('div', { role: 'grid', class: 'cells', 'aria-label': 'Addresses of the pool', 'aria-describedby': 'grid-keys', keydown: (event) => this.#key(event) });
    this.keys = el('p', { id: 'grid-keys', class: 'quiet' }, 'Arrow keys move, Enter opens, Page Up and Page Down move by a page, Control Home and Control End to either end.');
  }

  // layout makes the rows for the columns that there are.
  layout() {
    const { columns, rows } = this.grid;
    this.root.setAttribute('aria-rowcount', rows);
    this.root.setAttribute('aria-colcount', columns);
    const focused = this.root.contains(document.activeElement);
    this.#rows = [0, 1].map(() => {
      const cells = Array.from({ length: columns }, (_, column) => el('div', { role: 'gridcell', tabindex: -1, 'aria-colindex': column + 1 }));
      return el('div', { role: 'row', hidden: true }, cells);
    });
    this.root.replaceChildren(...this.#rows, this.keys);
    this.#place();
    if (focused) this.#cell().focus({ preventScroll: true });
  }

  // start makes a cell the one that Tab comes to.
  start(index) {
    this.index = index;
    this.#place();
  }

  focus(index) {
    const before = Math.floor(this.index / this.grid.columns);
    this.index = Math.max(0, Math.min(this.grid.model.size - 1, index));
    if (Math.floor(this.index / this.grid.columns) !== before) this.#current = 1 - this.#current;
    this.#place();
    this.#cell().focus({ preventScroll: true });
    this.#rows[1 - this.#current].hidden = true;
    this.grid.on.look(this.index);
  }

  // say says anew what the cells are.
  say() {
    const row = this.#rows[this.#current];
    if (!row || !this.grid.model) return;
    const base = Math.floor(this.index / this.grid.columns) * this.grid.columns;
    [...row.children].forEach((cell, column) => {
      const there = base + column < this.grid.model.size;
      cell.hidden = !there;
      if (there) cell.setAttribute('aria-label', this.grid.model.says(base + column));
    });
  }

  #cell() {
    return this.#rows[this.#current].children[this.index % this.grid.columns];
  }

  // #place puts the current row where the focused cell is.
  #place() {
    const row = this.#rows[this.#current];
    if (!row || !this.grid.model) return;
    const number = Math.floor(this.index / this.grid.columns);
    row.hidden = false;
    row.setAttribute('aria-rowindex', number + 1);
    [...row.children].forEach((cell, column) => {
      const { x, y } = this.grid.at(number * this.grid.columns + column);
      Object.assign(cell.style, { left: `${x}px`, top: `${y}px`, width: `${this.grid.width}px`, height: `${this.grid.height}px` });
      cell.tabIndex = number * this.grid.columns + column === this.index ? 0 : -1;
    });
    this.say();
  }

  #key(event) {
    const { columns, rowsSeen, model } = this.grid;
    const inRow = this.index % columns;
    const targets = {
      ArrowLeft: this.index - 1,
      ArrowRight: this.index + 1,
      ArrowUp: this.index - columns,
      ArrowDown: this.index + columns,
      PageUp: this.index - columns * rowsSeen,
      PageDown: this.index + columns * rowsSeen,
      Home: event.ctrlKey ? 0 : this.index - inRow,
      End: event.ctrlKey ? model.size - 1 : this.index - inRow + columns - 1,
    };
    if (event.key in targets) {
      event.preventDefault();
      const target = targets[event.key];
      if (target < 0 && event.key === 'ArrowUp') return;
      this.grid.reveal(Math.max(0, Math.min(model.size - 1, target)));
      this.focus(target);
    } else if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      this.grid.on.open(this.index);
    }
  }
}
