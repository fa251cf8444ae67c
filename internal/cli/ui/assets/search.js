// SPDX-License-Identifier: Apache-2.0

import { latest } from './api.js';
import { byId, el, fill } from './dom.js';
import { plural } from './format.js';
import { href, place } from './place.js';
import { states } from './states.js';

// setUpSearch makes the field answer as it is typed, with links beneath it: Tab goes through them, the arrow keys too.
export function setUpSearch(failed) {
  const [form, query] = [byId('search'), byId('query')];
  const asked = latest('search');
  const results = el('div', { class: 'results', hidden: true });
  const said = el('p', { class: 'quiet', role: 'status' });
  form.append(results, said);
  let wait;

  async function find() {
    const q = query.value.trim();
    if (q === '') {
      close();
      return;
    }
    try {
      const answer = await asked({ q, at: place().at });
      if (!answer) return;
      said.textContent = answer.total === 0 ? 'Nothing is found.' : `${plural(answer.total, 'result')}.`;
      fill(results, answer.total === 0 ? el('p', { class: 'empty' }, answer.hint) : el('ul', { 'aria-label': 'Results' }, answer.hits.map(hit)),
        answer.total > answer.hits.length && el('p', { class: 'empty' }, `${plural(answer.total - answer.hits.length, 'more result')}: write more of the name.`));
      results.hidden = false;
    } catch (error) {
      failed(error);
    }
  }

  function close() {
    results.hidden = true;
    said.textContent = '';
  }

  query.addEventListener('input', () => {
    clearTimeout(wait);
    wait = setTimeout(find, 120);
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    find().then(() => results.querySelector('a')?.click());
  });
  form.addEventListener('keydown', (event) => {
    const links = [query, ...results.querySelectorAll('a')];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === 'Escape') {
      close();
      query.focus();
    } else if (step && !results.hidden) {
      event.preventDefault();
      links[Math.max(0, Math.min(links.length - 1, links.indexOf(document.activeElement) + step))]?.focus();
    }
  });
  form.addEventListener('click', (event) => event.target.closest('a') && close());
  form.addEventListener('focusout', (event) => event.relatedTarget && !form.contains(event.relatedTarget) && close());
  addEventListener('keydown', (event) => {
    if (event.key !== '/' || event.target.closest('input')) return;
    event.preventDefault();
    query.focus();
  });
}

function hit(found) {
  const { address, claim, namespace, pod, pool, letter } = found;
  const open = address || `claim:${namespace}/${claim}`;
  return el('li', {}, el('a', { href: href({ pool, prefix: found.prefix ?? '', open }) },
    el('span', { class: 'mono' }, address || '—'), el('span', {}, claim ? `${namespace}/${claim}` : ''),
    el('span', { class: 'faint' }, [letter ? states[letter].name : 'Waiting', pool, pod].filter(Boolean).join(' · '))));
}
