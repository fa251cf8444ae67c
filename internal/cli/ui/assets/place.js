// SPDX-License-Identifier: Apache-2.0

// What is looked at stands in the page's address, behind the #, so that it can be kept as a bookmark and the browser goes back.
//
//   pool     the pool
//   prefix   the part of it, if it is too large to be shown whole
//   at       the time; left out it is now
//   view     table; left out it is the map
//   open     what the detail shows: an address, or claim:namespace/name

const names = ['pool', 'prefix', 'at', 'view', 'open'];
const listeners = [];

export function place() {
  const query = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(names.map((name) => [name, query.get(name) ?? '']));
}

// go changes what is named and leaves the rest. One step of the history, unless instead.
export function go(changes, { instead = false } = {}) {
  const next = { ...place(), ...changes };
  const query = new URLSearchParams(names.filter((name) => next[name]).map((name) => [name, next[name]]));
  const hash = `#${query}`;
  if (hash === location.hash) return;
  if (instead) history.replaceState(null, '', hash);
  else history.pushState(null, '', hash);
  tell();
}

// href is a link to a place.
export function href(changes) {
  const next = { ...place(), ...changes };
  return `#${new URLSearchParams(names.filter((name) => next[name]).map((name) => [name, next[name]]))}`;
}

export const onMove = (listener) => listeners.push(listener);

function tell() {
  const now = place();
  for (const listener of listeners) listener(now);
}

addEventListener('popstate', tell);
