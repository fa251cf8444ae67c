// SPDX-License-Identifier: Apache-2.0

import { latest } from './api.js';
import { el, fill } from './dom.js';
import { moment, plural, span } from './format.js';

// Timeline is the slider over the history of a pool: what changed when, and the time that is looked at.
export class Timeline {
  #asked = latest('timeline');
  #pool = '';
  #line;

  // on has move(at), with '' for now, and failed(error).
  constructor(root, on) {
    this.on = on;
    this.bars = el('canvas', { 'aria-hidden': 'true' });
    this.slider = el('input', { type: 'range', id: 'at', min: 0, max: 1, step: 1, 'aria-label': 'Time that is looked at', input: () => this.#slide() });
    this.previous = el('button', { type: 'button', click: () => this.#step('previous') }, '‹ Previous change');
    this.next = el('button', { type: 'button', click: () => this.#step('next') }, 'Next change ›');
    this.now = el('button', { type: 'button', click: () => on.move('') }, 'Now');
    this.said = el('output', { for: 'at', class: 'at' });
    this.limits = el('p', { class: 'limits' });
    root.append(el('div', { class: 'track' }, this.bars, this.slider), el('div', { class: 'steps' }, this.said, this.previous, this.next, this.now), this.limits);
    new ResizeObserver(() => this.#draw()).observe(this.bars);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#draw());
  }

  async show(pool, at) {
    try {
      const line = await this.#asked({ pool, at });
      if (line) this.#show(pool, at, line);
    } catch (error) {
      this.on.failed(error);
    }
  }

  #show(pool, at, line) {
    this.#pool = pool;
    this.#line = line;
    const seconds = (time) => Math.floor(new Date(time) / 1000);
    this.slider.min = seconds(line.from);
    this.slider.max = seconds(line.to);
    this.slider.value = at ? seconds(at) : this.slider.max;
    this.#say(at);
    this.previous.disabled = !line.previous;
    this.next.disabled = !at;
    this.now.disabled = !at;
    fill(this.limits, limits(line));
    this.#draw();
  }

  #say(at) {
    const text = at ? `${moment(at)}, ${span(new Date(this.#line.to) - new Date(at))} ago` : 'Now';
    this.said.textContent = text;
    this.slider.setAttribute('aria-valuetext', text);
  }

  #slide() {
    const value = Number(this.slider.value);
    const at = value >= Number(this.slider.max) ? '' : new Date(value * 1000).toISOString().replace('.000', '');
    this.#say(at);
    this.on.move(at);
  }

  #step(which) {
    this.on.move(this.#line[which] ?? '');
  }

  #draw() {
    const { bars } = this;
    const [w, h] = [bars.clientWidth, bars.clientHeight];
    if (!this.#line || w === 0) return;
    bars.width = w * devicePixelRatio;
    bars.height = h * devicePixelRatio;
    const context = bars.getContext('2d');
    context.scale(devicePixelRatio, devicePixelRatio);
    context.fillStyle = getComputedStyle(bars).getPropertyValue('--leased').trim();
    const { changes } = this.#line;
    const most = Math.max(1, ...changes);
    const width = w / changes.length;
    changes.forEach((n, i) => {
      if (n === 0) return;
      const height = Math.max(2, (h * Math.log1p(n)) / Math.log1p(most));
      context.fillRect(i * width, h - height, Math.max(1, width - 1), height);
    });
  }
}

function limits(line) {
  const kept = `Released addresses are remembered for ${span(line.history * 1000)}.`;
  if (line.total === 0) return `Nothing has changed yet in this pool. ${kept}`;
  return `${plural(line.total, 'change')} since ${moment(line.from)}. ${kept} Ranges and reservations are those of today.`;
}
