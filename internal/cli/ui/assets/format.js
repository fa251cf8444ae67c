// SPDX-License-Identifier: Apache-2.0

// How numbers and times are written.

const two = (n) => String(n).padStart(2, '0');

export const count = (n) => Number(n).toLocaleString('en-US');

// plural writes a number with its noun.
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${Number(n) === 1 ? one : many}`;

// moment writes a time in the person's time zone.
export function moment(time) {
  const t = new Date(time);
  return `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())} ${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}`;
}

// span writes how long something lasts, in its two largest units.
export function span(milliseconds) {
  let rest = Math.max(0, Math.round(milliseconds / 1000));
  const parts = [];
  for (const [unit, seconds] of [['d', 86400], ['h', 3600], ['min', 60], ['s', 1]]) {
    const n = Math.floor(rest / seconds);
    if (n > 0 && parts.length < 2) parts.push(`${n} ${unit}`);
    if (n > 0 || parts.length > 0) rest -= n * seconds;
    if (parts.length > 0 && n === 0) break;
  }
  return parts.join(' ') || '0 s';
}

// ago writes how long before now a time was.
export const ago = (time, now = Date.now()) => (now - new Date(time) < 1000 ? 'now' : `${span(now - new Date(time))} ago`);
