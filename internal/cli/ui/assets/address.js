// SPDX-License-Identifier: Apache-2.0

// Addresses as numbers, so that the address of a cell is its index added to the first one. IPv6 needs BigInt, and so all have it.

// A form is how addresses of one kind are written: that of an address.
export function formOf(text) {
  if (text.includes('.')) return v4;
  return mac.valid.test(text) ? mac : v6;
}

const v4 = {
  valid: /^\d{1,3}(\.\d{1,3}){3}$/,
  parse: (text) => text.split('.').reduce((sum, octet) => sum * 256n + BigInt(octet), 0n),
  write: (n) => [24n, 16n, 8n, 0n].map((shift) => (n >> shift) & 255n).join('.'),
  // tail is what is left of an address where its row says the rest.
  tail: (n) => `.${n & 255n}`,
  bits: 32,
};

const mac = {
  valid: /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/,
  parse: (text) => BigInt(`0x${text.replaceAll(':', '')}`),
  write: (n) => n.toString(16).padStart(12, '0').match(/../g).join(':'),
  tail: (n) => `:${(n & 255n).toString(16).padStart(2, '0')}`,
  bits: 48,
};

const v6 = {
  // Canonical ones, or near enough: what is parsed here has groups of digits, and at most one gap.
  valid: /^(?=.*:)(?!.*:::)(?!.*::.*::)(::)?[0-9a-f]{0,4}(::?[0-9a-f]{1,4})*(::)?$/,
  parse(text) {
    const [head, tail] = text.split('::');
    const left = head ? head.split(':') : [];
    const right = tail ? tail.split(':') : [];
    const groups = tail === undefined ? left : [...left, ...Array(Math.max(0, 8 - left.length - right.length)).fill('0'), ...right];
    return groups.reduce((sum, group) => sum * 65536n + BigInt(`0x${group || 0}`), 0n);
  },
  // write is the canonical form (RFC 5952): the longest run of zeros becomes ::, the first of several.
  write(n) {
    const groups = Array.from({ length: 8 }, (_, i) => (n >> BigInt(112 - 16 * i)) & 65535n);
    let best = { start: 0, length: 1 };
    for (let i = 0; i < 8; i++) {
      let length = 0;
      while (i + length < 8 && groups[i + length] === 0n) length++;
      if (length > best.length) best = { start: i, length };
    }
    const hex = groups.map((group) => group.toString(16));
    if (best.length < 2) return hex.join(':');
    return `${hex.slice(0, best.start).join(':')}::${hex.slice(best.start + best.length).join(':')}`;
  },
  tail: (n) => `:${(n & 65535n).toString(16)}`,
  bits: 128,
};
