// SPDX-License-Identifier: Apache-2.0

// The page: it puts the parts together and moves between what the address of the page says.

import { latest } from './api.js';
import { Detail } from './detail.js';
import { byId, el, fill } from './dom.js';
import { ago, moment } from './format.js';
import { Grid } from './grid.js';
import { Legend } from './legend.js';
import { Model } from './model.js';
import { go, href, onMove, place } from './place.js';
import { setShares, showPools } from './pools.js';
import { setUpSearch } from './search.js';
import { Stream } from './stream.js';
import { showSync } from './sync.js';
import { Table } from './table.js';
import { Timeline } from './timeline.js';

let pools = null;
let model = null;
let ready = false;
let waiting = false;
let focusDetail = false;

const stream = new Stream();
const past = latest('map');
const looked = latest('rows');
const stage = byId('stage');
const grid = new Grid(stage, { look, open: openCell });
const table = new Table(stage, { open: openCell, failed });
const legend = new Legend(byId('legend'), light);
const detail = new Detail(byId('detail'), failed);
const time = new Timeline(byId('time'), { move: (at) => go({ at }, { instead: place().at !== '' }), failed });

stream.addEventListener('sync', ({ detail: sync }) => {
  byId('cluster').textContent = sync.cluster;
  const before = ready;
  ready = showSync(byId('notice'), sync);
  document.body.classList.toggle('waiting', !ready);
  link(sync.kinds.some((kind) => kind.error) ? 'bad' : ready ? 'good' : 'wait');
  if (ready && !before) show(place());
});
stream.addEventListener('pools', ({ detail: list }) => {
  const first = pools === null;
  pools = list;
  drawPools();
  if (first || !known(place().pool)) show(place());
  else describe(place());
  if (!place().at) refreshBeside();
});
stream.addEventListener('map', ({ detail: map }) => !place().at && put(map));
stream.addEventListener('delta', ({ detail: delta }) => {
  if (place().at || !model) return;
  model.apply(delta);
  grid.refresh();
  table.refresh();
  legend.show(model.counts);
});
stream.addEventListener('refused', ({ detail: refusal }) => known(place().pool) && failed(new Error(refusal.error)));
stream.addEventListener('lost', () => link('lost'));

onMove(show);
addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && place().open && !event.target.closest('#search')) {
    const index = model?.index(place().open) ?? -1;
    go({ open: '' });
    if (place().view !== 'table') grid.focus(index >= 0 ? index : undefined);
  }
});
for (const view of ['map', 'table']) byId(`as-${view}`).addEventListener('click', () => go({ view: view === 'map' ? '' : view }));
setUpSearch(failed);
stream.watch(place().pool, place().prefix);

const known = (name) => pools?.some((pool) => pool.name === name);

// show shows a place: all of it, for whoever comes by a link.
function show(now) {
  if (pools !== null && !known(now.pool)) {
    if (pools.length > 0 && !now.pool) go({ pool: pools[0].name }, { instead: true });
    else nothing(now.pool);
    return;
  }
  document.body.classList.remove('nothing');
  byId('main').classList.toggle('past', now.at !== '');
  const asTable = now.view === 'table';
  byId('as-map').setAttribute('aria-pressed', String(!asTable));
  byId('as-table').setAttribute('aria-pressed', String(asTable));
  byId('readout').hidden = asTable;
  grid.root.hidden = asTable;
  table.root.hidden = !asTable;
  drawPools();
  if (!ready || !now.pool) return;
  describe(now);
  if (now.at) {
    stream.watch('', '');
    past(now).then((map) => map && put(map), failed);
  } else {
    if (model && !model.now && model.pool === now.pool) model = null;
    stream.watch(now.pool, now.prefix);
    if (model?.pool === now.pool) put(model.raw, true);
  }
  if (model?.pool === now.pool) showBeside(now);
  else waiting = true; // the map comes first
}

function showBeside(now) {
  waiting = false;
  time.show(now.pool, now.at);
  detail.show(now, focusDetail);
  focusDetail = false;
}

// put shows a map that has come.
function put(map, again = false) {
  const now = place();
  if (map.pool !== now.pool || (map.prefix !== now.prefix && now.prefix !== '')) return;
  if (!again) {
    model = new Model(map);
    Object.assign(model, { raw: map, now: !now.at });
  }
  path();
  grid.show(model);
  const open = model.index(now.open);
  grid.mark(open);
  if (open >= 0 && !grid.root.contains(document.activeElement)) grid.goTo(open);
  table.show(model, now);
  legend.show(model.counts);
  look(grid.cells.index);
  if (waiting) showBeside(now);
  document.documentElement.dataset.shown = `${map.pool} ${map.prefix} ${now.at}`;
}

let beside;
// refreshBeside reads anew what is beside the map, a moment after something has changed.
function refreshBeside() {
  clearTimeout(beside);
  beside = setTimeout(() => {
    const now = place();
    if (!ready || !known(now.pool) || now.at) return;
    time.show(now.pool, now.at);
    if (!byId('detail').querySelector('details[open]')) detail.show(now);
  }, 300);
}

function describe(now) {
  const pool = pools?.find(({ name }) => name === now.pool);
  if (!pool) return;
  byId('map-title').textContent = pool.name;
  document.title = `${pool.name} · macpool`;
  byId('facts').textContent = [pool.vlan === 0 ? 'untagged' : `VLAN ${pool.vlan}`, ...pool.networks].join(' · ');
  if (now.at) {
    fill(byId('notice'), el('p', { class: 'notice past' }, el('b', {}, 'The past: '), `${moment(now.at)}, ${ago(now.at)}. `, el('a', { href: href({ at: '' }) }, 'Back to now')));
  } else if (ready) {
    fill(byId('notice'));
  }
}

// path is where in a large pool the map is.
function path() {
  const nav = byId('path');
  nav.hidden = model.section === model.whole;
  if (nav.hidden) return;
  fill(nav, el('a', { href: href({ prefix: model.whole, open: '' }) }, model.whole), el('span', { 'aria-hidden': 'true' }, ' › '), el('span', { 'aria-current': 'page' }, model.section));
}

function nothing(name) {
  document.body.classList.add('nothing');
  fill(byId('detail'));
  const what = name
    ? [el('h1', {}, `There is no pool ${name}`), el('p', {}, 'It has been deleted, or the link is of another cluster. ', el('a', { href: '#' }, 'See the pools'))]
    : [el('h1', {}, 'There is no pool yet'), el('p', {}, 'A MacPool says which addresses a VLAN may use. Make one, and it appears here by itself:'),
      el('pre', {}, 'kubectl apply -f - <<\'EOF\'\napiVersion: macpool.dev/v1alpha1\nkind: MacPool\nmetadata:\n  name: iot\nspec:\n  vlan: 50\n  subnets:\n    - cidr: 192.168.50.0/24\n      gateway: 192.168.50.1\n      ranges: [{start: 192.168.50.200, end: 192.168.50.250}]\nEOF')];
  fill(byId('notice'), el('section', { class: 'notice' }, what));
}

function drawPools() {
  if (pools === null) return;
  showPools(byId('pools'), pools, place().pool);
  setShares(byId('pools'));
}

// openCell opens an address, or goes into a prefix.
function openCell(index) {
  if (model.step > 0) {
    go({ prefix: model.prefix(index), open: '' });
    return;
  }
  focusDetail = true;
  go({ open: model.address(index) }, { instead: place().open !== '' });
  grid.mark(index);
}

function light(letter) {
  grid.light(letter);
  table.light(letter);
}

let looking;
// look says what a cell is, and a moment later, who has it.
function look(index) {
  if (!model || index >= model.size) return;
  const readout = byId('readout');
  readout.textContent = model.says(index);
  clearTimeout(looking);
  if (model.step > 0 || '.-x?'.includes(model.letters[index])) return;
  looking = setTimeout(async () => {
    const { pool, prefix, at } = place();
    const answer = await looked({ pool, prefix, at, indexes: index }).catch(() => undefined);
    const row = answer?.rows[0];
    if (row) readout.textContent = [model.says(index), row.mac, row.claim && `${row.namespace}/${row.claim}`, row.pod && `pod ${row.pod}`, row.node && `on ${row.node}`].filter(Boolean).join(' · ');
  }, 150);
}

function link(state) {
  const words = { good: 'Live', wait: 'Reading', bad: 'The cluster does not answer', lost: 'The server of this page has ended' };
  byId('link').className = `link ${state}`;
  fill(byId('link'), words[state]);
}

function failed(error) {
  fill(byId('notice'), el('p', { class: 'notice bad', role: 'alert' }, error.message, ' ', el('a', { href: href({ prefix: '', open: '', at: '' }) }, 'Back to the pool')));
}
