// SPDX-License-Identifier: Apache-2.0

import { el, fill } from './dom.js';
import { count } from './format.js';
import { inOrder, paint, states } from './states.js';

// Legend says what the shapes mean and how many addresses there are of each. A state that is pressed stands out in the map, and is all
// that the table has.
export class Legend {
  #lit = null;

  constructor(root, choose) {
    this.root = root;
    this.choose = choose;
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.show(this.counts));
  }

  show(counts) {
    this.counts = counts;
    if (!counts) return;
    const there = inOrder.filter((letter) => counts[letter] > 0);
    if (this.#lit !== null && !there.includes(this.#lit)) this.#press(this.#lit);
    fill(this.root, there.map((letter) => el('li', {}, this.#button(letter, counts[letter]))));
    for (const canvas of this.root.querySelectorAll('canvas')) draw(canvas);
  }

  #button(letter, n) {
    return el('button', { type: 'button', 'aria-pressed': this.#lit === letter ? 'true' : 'false', 'data-key': `state-${letter}`, click: () => this.#press(letter) },
      el('canvas', { width: 28, height: 28, 'data-letter': letter, 'aria-hidden': 'true' }), ` ${states[letter].name} `, el('b', {}, count(n)));
  }

  #press(letter) {
    this.#lit = this.#lit === letter ? null : letter;
    this.choose(this.#lit);
    this.show(this.counts);
  }
}

function draw(canvas) {
  const context = canvas.getContext('2d');
  const { key, shape } = states[canvas.dataset.letter];
  context.scale(2, 2);
  paint(context, shape, getComputedStyle(canvas).getPropertyValue(`--${key}`).trim(), 0, 0, 14, 14);
}
