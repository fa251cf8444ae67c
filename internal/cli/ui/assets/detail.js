// SPDX-License-Identifier: Apache-2.0

import { ask, latest } from './api.js';
import { el, fill } from './dom.js';
import { ago, count, moment, span } from './format.js';
import { go, href } from './place.js';
import { states } from './states.js';

// Detail is what is beside the map: all of an address, or of a claim, or if nothing is open, of the pool.
export class Detail {
  #asked = latest('address');
  #claim = latest('claim');
  #summary = latest('summary');

  constructor(root, failed) {
    this.root = root;
    this.failed = failed;
  }

  // show shows what is open, and takes the focus if the person has just opened it.
  async show({ pool, at, open }, focus = false) {
    try {
      if (open.startsWith('claim:')) {
        const [namespace, name] = open.slice(6).split('/');
        this.#put(await this.#claim({ namespace, name }), claimOf);
      } else if (open) {
        this.#put(await this.#asked({ pool, address: open, at }), addressOf);
      } else {
        this.#put(await this.#summary({ pool, at }), poolOf);
      }
      if (focus) this.root.querySelector('h2')?.focus();
    } catch (error) {
      this.failed(error);
    }
  }

  #put(answer, write) {
    if (answer) fill(this.root, ...write(answer));
  }
}

const title = (text, closes) => el('div', { class: 'head' }, el('h2', { tabindex: -1 }, text),
  closes && el('button', { type: 'button', class: 'close', 'data-key': 'close', 'aria-label': 'Close', click: () => go({ open: '' }) }, '×'));

const facts = (...rows) => el('dl', { class: 'facts' }, rows.filter(([, value]) => value !== undefined && value !== null && value !== '' && value !== false)
  .map(([name, value]) => [el('dt', {}, name), el('dd', {}, value)]));

const mono = (text) => text && el('span', { class: 'mono' }, text);

const when = (time, end = Date.now()) => el('time', { datetime: time, title: `${ago(time, end)}` }, moment(time));

const claimLink = (namespace, name) => name && el('a', { href: href({ open: `claim:${namespace}/${name}` }) }, `${namespace}/${name}`);

function addressOf(a) {
  const state = states[a.letter];
  return [
    title(a.name, true),
    el('p', { class: `says ${state.key}` }, el('b', {}, state.name), ` ${a.says}`),
    a.conflict && el('p', { class: 'notice bad' }, `${a.conflict.mac} answered for it, seen by ${a.conflict.node} at ${moment(a.conflict.seenAt)}. `, page('MP207', a.conflict.page)),
    facts(
      ['MAC', mono(a.mac)],
      ['IP', a.ips.length > 1 && mono(a.ips.join(', '))],
      ['Claim', claimLink(a.namespace, a.claim)],
      ['Pod', a.pod],
      ['Node', a.node],
      ['Since', a.since && when(a.since)],
      ['Until', a.until && when(a.until)],
      ['Lease', mono(a.lease)],
    ),
    el('h3', {}, 'History'),
    tenures(a),
    el('h3', {}, 'In a terminal'),
    el('p', { class: 'command' }, `kubectl macpool who ${a.name}`),
  ];
}

function tenures(a) {
  const limit = a.reach && el('p', { class: 'limits' }, `The record of this address is complete since ${moment(a.reach)}.`);
  if (a.tenures.length === 0) return el('div', {}, el('p', { class: 'empty' }, 'Nobody is on record.'), limit);
  return el('div', {}, el('ol', { class: 'tenures' }, a.tenures.map((t) => el('li', { class: t.to ? null : 'lasts' },
    el('p', { class: 'who' }, t.podName ? t.podName : claimLink(t.namespace, t.claim), t.grade === 'Unheld' && el('span', { class: 'faint' }, ' held by no pod'),
      t.grade === 'ClaimOnly' && !t.podName && el('span', { class: 'faint' }, ' its pods are not on record')),
    el('p', { class: 'faint' }, t.podName && [claimLink(t.namespace, t.claim), t.nodeName && ` on ${t.nodeName}`]),
    el('p', { class: 'faint' }, `${moment(t.from)} – ${t.to ? `${moment(t.to)}, ${span(new Date(t.to) - new Date(t.from))}` : 'still'}`),
    t.reason && el('p', { class: 'faint' }, `${t.reason}${t.evidence ? `: ${t.evidence}` : ''}`)))), limit);
}

function claimOf(c) {
  return [
    title(`${c.namespace}/${c.name}`, true),
    el('p', { class: c.ready ? 'says leased' : 'says conflicted' }, el('b', {}, c.ready ? 'Ready' : 'Waiting'), ` claim of pool ${c.pool}`),
    c.conditions.map(condition),
    facts(
      ['Address', c.address && el('a', { class: 'mono', href: href({ pool: c.pool, prefix: c.prefix ?? '', open: c.address }) }, c.address)],
      ['MAC', mono(c.mac)],
      ['IP', c.ips.length > 1 && mono(c.ips.join(', '))],
      ['Asks for', mono(c.wish)],
      ['Workload', c.workload],
      ['Pod', c.holder && c.holder.pod],
      ['Node', c.holder && c.holder.node],
      ['Interface', c.holder && mono(c.holder.interface)],
      ['Since', c.holder && when(c.holder.since)],
      ['Also', c.alternate && `${c.alternate.pod} on ${c.alternate.node}, of the same VM`],
      ['Made', when(c.created)],
    ),
    el('h3', {}, 'Pods before'),
    c.previous.length === 0 ? el('p', { class: 'empty' }, 'None is on record.') : el('ol', { class: 'tenures' }, c.previous.map((p) => el('li', {},
      el('p', { class: 'who' }, p.pod), el('p', { class: 'faint' }, `on ${p.node}`), el('p', { class: 'faint' }, `${moment(p.since)} – ${moment(p.until)}`),
      el('p', { class: 'faint' }, [p.reason, p.evidence].filter(Boolean).join(': '))))),
    events('MacClaim', c.namespace, c.name),
  ];
}

function condition(c) {
  return el('p', { class: c.wrong ? 'notice bad' : 'notice' }, el('b', {}, c.reason), ` ${c.message} `, page(c.code, c.page));
}

function page(code, url) {
  return url && el('a', { href: url, target: '_blank', rel: 'noreferrer' }, `What ${code} means`);
}

// events are asked for when they are opened: the cluster is read for them.
function events(kind, namespace, name) {
  const list = el('div', {}, el('p', { class: 'empty' }, 'Reading'));
  const details = el('details', {}, el('summary', {}, 'Events'), list);
  details.addEventListener('toggle', async () => {
    if (!details.open) return;
    try {
      const answer = await ask('events', { kind, namespace, name });
      fill(list, answer.events.length === 0 ? el('p', { class: 'empty' }, 'The cluster has none. It keeps events for an hour, unless it is told otherwise.')
        : el('ol', { class: 'tenures' }, answer.events.map((e) => el('li', { class: e.type === 'Warning' ? 'warning' : null },
          el('p', { class: 'who' }, e.reason, e.count > 1 && el('span', { class: 'faint' }, ` ${e.count} times`)), el('p', {}, e.message, ' ', page(e.code, e.page)),
          el('p', { class: 'faint' }, moment(e.last))))));
    } catch (error) {
      fill(list, el('p', { class: 'bad' }, error.message));
    }
  });
  return details;
}

function poolOf(p) {
  return [
    title(`Pool ${p.name}`),
    p.conditions?.map(condition),
    facts(
      ['Networks', mono(p.networks.join(', '))],
      ['Ranges', mono(p.ranges)],
      ['MACs', mono(p.macPrefix && `${p.macPrefix}:…`)],
      ['Segment', mono(p.segment)],
      ['Available', p.capacity > 0 && `${count(p.available)} of ${count(p.capacity)}`],
      ['Full in', p.exhaustion],
      ['Nodes', p.nodes],
    ),
    holders('Namespaces with most addresses', p.namespaces),
    p.workloads.length > 0 && holders('Workloads with most addresses', p.workloads),
    events('MacPool', '', p.name),
  ];
}

function holders(heading, list) {
  if (list.length === 0) return el('p', { class: 'empty' }, 'Nothing is leased.');
  return [el('h3', {}, heading), el('ol', { class: 'holders' }, list.map((h) => el('li', {}, el('span', {}, h.name), el('span', { class: 'mono' }, count(h.addresses)))))];
}
