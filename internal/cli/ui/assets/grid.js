// SPDX-License-Identifier: Apache-2.0

import { el } from './dom.js';
import { Cells } from './cells.js';
import { Sprites } from './sprites.js';

const gutter = 132; // for the addresses of the rows
const smallest = 16; // of a cell, in pixels

// Grid shows a model as a canvas that scrolls, so that only what is seen is drawn. What the keyboard and a screen reader have of it are
// Cells, which lie over the canvas.
export class Grid {
  #model;
  #sprites = new Sprites();
  #drawing = false;
  #lit = null;
  #open = -1;
  #hover = -1;

  // on has look(index) for the cell that is pointed at or focused, and open(index).
  constructor(root, on) {
    this.on = on;
    this.canvas = el('canvas', { 'aria-hidden': 'true' });
    this.cells = new Cells(this);
    this.space = el('div', { class: 'grid-space' }, this.canvas, this.cells.root);
    this.root = el('div', { class: 'grid', scroll: () => this.draw() }, this.space);
    root.append(this.root);
    this.space.addEventListener('pointermove', (event) => this.#point(event));
    this.space.addEventListener('pointerleave', () => this.#setHover(-1));
    this.space.addEventListener('click', (event) => this.#click(event));
    new ResizeObserver(() => this.#layout()).observe(this.root);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.draw());
  }

  get model() {
    return this.#model;
  }

  // show shows a model. The place that is focused and scrolled to stays if it is a map of the same addresses.
  show(model) {
    const same = this.#model?.key === model.key;
    this.#model = model;
    if (!same) {
      this.root.scrollTop = 0;
      this.#layout();
      this.cells.start(0);
    }
    this.refresh();
  }

  // refresh draws what has changed in the model.
  refresh() {
    this.cells.say();
    this.draw();
  }

  // light makes the addresses of one state stand out; null lets all.
  light(letter) {
    this.#lit = letter;
    this.draw();
  }

  // mark marks the cell that the detail is of.
  mark(index) {
    this.#open = index;
    this.draw();
  }

  focus(index = this.cells.index) {
    this.reveal(index);
    this.cells.focus(index);
  }

  // goTo makes a cell the one that the keyboard begins at, and shows it.
  goTo(index) {
    this.cells.start(index);
    this.reveal(index);
  }

  reveal(index) {
    const top = Math.floor(index / this.columns) * this.height;
    const { scrollTop, clientHeight } = this.root;
    if (top < scrollTop) this.root.scrollTop = top - this.height;
    else if (top + this.height > scrollTop + clientHeight) this.root.scrollTop = top + 2 * this.height - clientHeight;
  }

  // rowsSeen is how many rows a page is.
  get rowsSeen() {
    return Math.max(1, Math.floor(this.root.clientHeight / this.height) - 1);
  }

  // at is where a cell lies.
  at(index) {
    return { x: gutter + (index % this.columns) * this.width, y: Math.floor(index / this.columns) * this.height };
  }

  #layout() {
    if (!this.#model) return;
    const room = this.root.clientWidth - gutter - 8;
    let columns = this.#model.size <= 256 ? 16 : 64;
    while (columns > 8 && room / columns < smallest) columns /= 2;
    this.columns = Math.min(columns, this.#model.size);
    this.rows = Math.ceil(this.#model.size / this.columns);
    this.width = Math.max(8, Math.min(44, Math.floor(room / this.columns)));
    this.height = this.#model.size <= 256 ? Math.max(18, Math.min(30, Math.floor((this.root.clientHeight - 4) / this.rows))) : this.width;
    this.space.style.height = `${this.rows * this.height}px`;
    this.cells.layout();
    this.draw();
  }

  draw() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      if (this.#model && this.columns) this.#draw();
    });
  }

  #draw() {
    const density = devicePixelRatio || 1;
    const [w, h] = [this.root.clientWidth, this.root.clientHeight];
    const { canvas } = this;
    if (canvas.width !== Math.round(w * density) || canvas.height !== Math.round(h * density)) {
      canvas.width = Math.round(w * density);
      canvas.height = Math.round(h * density);
      canvas.style.width = `${w}px`;
      canvas.style.height = `${h}px`;
    }
    const context = canvas.getContext('2d');
    context.setTransform(density, 0, 0, density, 0, 0);
    context.clearRect(0, 0, w, h);
    this.#sprites.prepare(this.width, this.height, density, this.root);
    const top = this.root.scrollTop;
    const first = Math.floor(top / this.height);
    const last = Math.min(this.rows - 1, Math.floor((top + h) / this.height));
    for (let row = first; row <= last; row++) this.#drawRow(context, row, row * this.height - top);
    for (const [index, colour] of [[this.#hover, 'muted'], [this.#open, 'text']]) {
      if (index < 0) continue;
      const { x, y } = this.at(index);
      context.strokeStyle = this.#sprites.colour(colour);
      context.lineWidth = 2;
      context.strokeRect(x, y - top, this.width, this.height);
    }
  }

  #drawRow(context, row, y) {
    const model = this.#model;
    const sprites = this.#sprites;
    const { width, height } = this;
    const base = row * this.columns;
    context.font = '12px ui-monospace, "DejaVu Sans Mono", monospace';
    context.textBaseline = 'middle';
    if (height >= 15 || row % 2 === 0) {
      context.fillStyle = sprites.colour('muted');
      context.textAlign = 'right';
      context.fillText(model.address(base), gutter - 10, y + height / 2, gutter - 14);
    }
    const end = Math.min(this.columns, model.size - base);
    const written = width >= 30 && model.step === 0;
    for (let column = 0; column < end; column++) {
      const index = base + column;
      const letter = model.letters[index];
      context.globalAlpha = this.#lit === null || this.#lit === letter ? 1 : 0.18;
      context.drawImage(sprites.of(letter, model.fill?.[index]), gutter + column * width, y, width, height);
      if (written && (letter === 'L' || letter === 'O' || letter === '!')) {
        context.fillStyle = sprites.colour('on');
        context.textAlign = 'center';
        context.fillText(letter === '!' ? '!' : model.form.tail(model.number(index)), gutter + column * width + width / 2, y + height / 2 + 1, width - 6);
      }
    }
    context.globalAlpha = 1;
  }

  #under(event) {
    const box = this.space.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - gutter) / this.width);
    const row = Math.floor((event.clientY - box.top) / this.height);
    const index = row * this.columns + column;
    return column >= 0 && column < this.columns && index < this.#model.size ? index : -1;
  }

  #point(event) {
    if (this.#model) this.#setHover(this.#under(event));
  }

  #setHover(index) {
    if (index === this.#hover) return;
    this.#hover = index;
    this.on.look(index < 0 ? this.cells.index : index);
    this.draw();
  }

  #click(event) {
    const index = this.#under(event);
    if (index < 0) return;
    this.cells.focus(index);
    this.on.open(index);
  }
}
