// SPDX-License-Identifier: Apache-2.0

// What an address can be, by the letter that the server sends for it. Each state has a shape as well as a colour: a map in grey says
// the same.

export const states = {
  L: { key: 'leased', name: 'Leased', says: 'leased', shape: 'full' },
  O: { key: 'outOfRange', name: 'Out of range', says: 'leased, and out of the pool\'s ranges since it was edited', shape: 'notched' },
  '!': { key: 'conflicted', name: 'Conflict', says: 'in conflict: a stranger uses it', shape: 'diamond' },
  C: { key: 'cooling', name: 'Cooling', says: 'cooling down after its release', shape: 'half' },
  r: { key: 'reusable', name: 'Free, used before', says: 'free, and was leased before', shape: 'circle' },
  '.': { key: 'free', name: 'Free', says: 'free', shape: 'dot' },
  E: { key: 'onRequest', name: 'On request', says: 'free for claims that ask for it', shape: 'corners' },
  R: { key: 'reserved', name: 'Reserved', says: 'reserved', shape: 'ring' },
  x: { key: 'excluded', name: 'Excluded', says: 'excluded', shape: 'cross' },
  '-': { key: 'outside', name: 'In no range', says: 'in no range of the pool', shape: 'none' },
  '?': { key: 'unknown', name: 'Not known', says: 'not known: the record does not reach that far back', shape: 'question' },
};

// inOrder are the letters in the order in which states are told.
export const inOrder = Object.keys(states);

// paint draws a state into a square of a canvas.
export function paint(context, shape, colour, x, y, w, h) {
  const inset = Math.max(1, Math.round(Math.min(w, h) * 0.08));
  const [l, t, r, b] = [x + inset, y + inset, x + w - inset, y + h - inset];
  const [cx, cy] = [(l + r) / 2, (t + b) / 2];
  const size = Math.min(r - l, b - t);
  const line = Math.max(1, size / 9);
  context.fillStyle = colour;
  context.strokeStyle = colour;
  context.lineWidth = line;
  const polygon = (...points) => {
    context.beginPath();
    points.forEach(([px, py], i) => (i === 0 ? context.moveTo(px, py) : context.lineTo(px, py)));
    context.closePath();
    context.fill();
  };
  const box = () => context.strokeRect(l + line / 2, t + line / 2, r - l - line, b - t - line);
  switch (shape) {
    case 'full':
      context.fillRect(l, t, r - l, b - t);
      break;
    case 'half':
      box();
      polygon([l, b], [r, b], [r, t]);
      break;
    case 'diamond':
      polygon([cx, t], [cx + size / 2, cy], [cx, b], [cx - size / 2, cy]);
      break;
    case 'notched':
      polygon([l, t], [r - size / 2, t], [r, t + size / 2], [r, b], [l, b]);
      break;
    case 'ring':
      context.beginPath();
      context.arc(cx, cy, size / 2 - line, 0, 2 * Math.PI);
      context.lineWidth = line * 1.6;
      context.stroke();
      break;
    case 'corners':
      context.lineWidth = Math.max(1, size / 16);
      context.setLineDash([size / 5, size / 5]);
      box();
      context.setLineDash([]);
      break;
    case 'circle':
      context.beginPath();
      context.arc(cx, cy, size / 5, 0, 2 * Math.PI);
      context.stroke();
      break;
    case 'dot':
      context.beginPath();
      context.arc(cx, cy, Math.max(1, size / 8), 0, 2 * Math.PI);
      context.fill();
      break;
    case 'cross':
      context.beginPath();
      context.moveTo(cx - size / 4, cy - size / 4);
      context.lineTo(cx + size / 4, cy + size / 4);
      context.moveTo(cx + size / 4, cy - size / 4);
      context.lineTo(cx - size / 4, cy + size / 4);
      context.stroke();
      break;
    case 'none':
      break;
    default:
      context.font = `${Math.round(size * 0.8)}px system-ui, sans-serif`;
      context.textAlign = 'center';
      context.textBaseline = 'middle';
      context.fillText('?', cx, cy);
  }
}
