// SPDX-License-Identifier: Apache-2.0

import { el, fill } from './dom.js';
import { count, plural } from './format.js';
import { href } from './place.js';

// showPools writes the list of pools, and what to do if there is none.
export function showPools(root, pools, current) {
  if (pools.length === 0) {
    fill(root, el('li', { class: 'empty' }, 'There is no pool yet.'));
    return;
  }
  fill(root, pools.map((pool) => el('li', {}, link(pool, pool.name === current))));
}

function link(pool, here) {
  const share = pool.capacity > 0 ? Math.min(100, (100 * pool.leased) / pool.capacity) : 0;
  const meter = el('span', { class: share >= 95 ? 'meter full' : 'meter', 'aria-hidden': 'true' }, el('span', { 'data-share': Math.round(share) }));
  return el('a', { href: href({ pool: pool.name, prefix: '', open: '' }), 'aria-current': here ? 'page' : null },
    el('span', { class: 'name' }, pool.name),
    el('span', { class: 'vlan' }, pool.vlan === 0 ? 'untagged' : `VLAN ${pool.vlan}`),
    el('span', { class: 'networks' }, pool.networks[0]),
    meter,
    el('span', { class: 'used' }, `${count(pool.leased)} of ${count(pool.capacity)} leased`),
    pool.conflicted > 0 && el('span', { class: 'badge bad' }, plural(pool.conflicted, 'conflict')),
    !pool.ready && el('span', { class: 'badge bad' }, 'not ready'),
    pool.ready && pool.conflicted === 0 && pool.problems.length > 0 && el('span', { class: 'badge odd' }, plural(pool.problems.length, 'warning')));
}

// setShares draws the bars: a style cannot stand in the document, which allows none inline.
export function setShares(root) {
  for (const bar of root.querySelectorAll('[data-share]')) bar.style.width = `${bar.dataset.share}%`;
}
