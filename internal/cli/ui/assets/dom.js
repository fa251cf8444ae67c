// SPDX-License-Identifier: Apache-2.0

// Elements are made here and nowhere else. Text becomes text nodes: what a tenant wrote into a name is never read as markup.

// el makes an element. Attributes that are undefined, null or false are left out; functions become listeners.
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === 'function') node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? '' : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false));
  return node;
}

// fill replaces what is in an element, and leaves it alone if it is the same already, so that readers are not interrupted.
export function fill(node, ...children) {
  const fresh = el('div', {}, ...children);
  if (!sameChildren(node, fresh)) replace(node, fresh.childNodes);
}

// replace replaces what is in an element. What had the focus has it again, if it is there again: by its data-key.
export function replace(node, children) {
  const focused = node.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  node.replaceChildren(...children);
  if (focused) node.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

function sameChildren(a, b) {
  if (a.childNodes.length !== b.childNodes.length) return false;
  return [...a.childNodes].every((child, i) => child.isEqualNode(b.childNodes[i]) && !listens(child));
}

// Listeners are not compared: what has buttons is made again.
function listens(node) {
  return node.nodeType === Node.ELEMENT_NODE && (node.matches('button') || node.querySelector('button') !== null);
}

export const byId = (id) => document.getElementById(id);
