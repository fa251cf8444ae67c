// SPDX-License-Identifier: Apache-2.0

import { el, fill } from './dom.js';
import { count } from './format.js';

// showSync writes how far the local server has read the cluster, and what keeps it from it. It returns whether all is read.
export function showSync(root, sync) {
  const wrong = sync.kinds.filter((kind) => kind.error);
  if (sync.ready && wrong.length === 0) {
    fill(root);
    return true;
  }
  fill(root, el('section', { class: sync.ready ? 'notice bad' : 'notice', 'aria-labelledby': 'sync-title' },
    el('h1', { id: 'sync-title' }, sync.ready ? 'The cluster does not answer' : 'Reading the cluster'),
    sync.ready && el('p', {}, 'What is shown is what was read before. It goes on by itself when the cluster answers again.'),
    el('dl', { class: 'sync' }, (sync.ready ? wrong : sync.kinds).map((kind) => [el('dt', {}, kind.kind), el('dd', {}, progress(kind))]))));
  return sync.ready;
}

function progress(kind) {
  if (kind.error) return el('span', { class: 'bad' }, kind.error);
  if (kind.done) return `${count(kind.read)} read`;
  if (!kind.total) return 'asking';
  return [el('progress', { max: kind.total, value: kind.read, 'aria-label': kind.kind }), ` ${count(kind.read)} of ${count(kind.total)}`];
}
