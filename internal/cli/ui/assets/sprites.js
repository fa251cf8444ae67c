// SPDX-License-Identifier: Apache-2.0

import { paint, states } from './states.js';

// Sprites are the states drawn once for a size, the screen's density and the colours in force, so that drawing a map is copying.
export class Sprites {
  #made = new Map();
  #key = '';
  #style;

  // prepare forgets what was drawn if anything that decides about it has changed.
  prepare(width, height, density, element) {
    this.#style = getComputedStyle(element);
    const key = [width, height, density, this.#style.getPropertyValue('--leased'), this.#style.getPropertyValue('--surface')].join();
    if (key !== this.#key) this.#made.clear();
    this.#key = key;
    Object.assign(this, { width, height, density });
  }

  colour(name) {
    return this.#style.getPropertyValue(`--${name}`).trim();
  }

  // of is the picture of a letter; of a prefix with the share that is leased as a bar.
  of(letter, fill) {
    const key = fill === undefined ? letter : `${letter}${fill}`;
    let sprite = this.#made.get(key);
    if (!sprite) {
      sprite = this.#draw(letter, fill);
      this.#made.set(key, sprite);
    }
    return sprite;
  }

  #draw(letter, fill) {
    const canvas = document.createElement('canvas');
    canvas.width = Math.round(this.width * this.density);
    canvas.height = Math.round(this.height * this.density);
    const context = canvas.getContext('2d');
    context.scale(this.density, this.density);
    const { key, shape } = states[letter];
    if (fill === undefined) paint(context, shape, this.colour(key), 0, 0, this.width, this.height);
    else this.#prefix(context, letter, fill);
    return canvas;
  }

  #prefix(context, letter, fill) {
    const [w, h] = [this.width - 2, this.height - 2];
    context.fillStyle = this.colour('track');
    context.fillRect(1, 1, w, h);
    const height = fill === 0 ? 0 : Math.max(2, (h * fill) / 100);
    context.fillStyle = this.colour('leased');
    context.fillRect(1, 1 + h - height, w, height);
    if (states[letter].key === 'conflicted') paint(context, 'diamond', this.colour('conflicted'), this.width / 4, this.height / 4, this.width / 2, this.height / 2);
  }
}
