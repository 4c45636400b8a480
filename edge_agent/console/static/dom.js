// Small things to build and change the page without disturbing what a person is about to press.

export const $ = id => document.getElementById(id);

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === 'class') node.className = value;
    else if (name === 'onclick') node.addEventListener('click', value);
    else if (value === true) node.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter(child => child !== null && child !== undefined));
  return node;
}

// Writes only what differs, so that screen readers hear changes and nothing else.
export function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

export function show(node, shown) {
  if (node.hidden === shown) node.hidden = !shown;
}

export function attribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

// Keeps one child per item, by key and in order; nodes that stay are moved only when they must. Equal keys are told
// apart by their place among their equals, so that there are never more children than items.
export function list(parent, items, keyOf, make, update) {
  const known = new Map();
  for (const node of [...parent.children]) {
    if (known.has(node.dataset.key)) node.remove();
    else known.set(node.dataset.key, node);
  }
  const times = new Map();
  items.forEach((item, index) => {
    const base = String(keyOf(item));
    const before = times.get(base) ?? 0;
    times.set(base, before + 1);
    const key = before ? `${base}#${before}` : base;
    let node = known.get(key);
    if (!node) {
      node = make(item);
      node.dataset.key = key;
    }
    known.delete(key);
    if (parent.children[index] !== node) parent.insertBefore(node, parent.children[index] ?? null);
    update(node, item, index);
  });
  for (const node of known.values()) node.remove();
}

// How many children of a scrolling list are cut off below, said on the button beneath it.
export function more(node, button) {
  const fits = node.scrollHeight <= node.clientHeight + (button.hidden ? 0 : button.offsetHeight) + 1;
  const bottom = node.getBoundingClientRect().bottom + 4;
  const cut = fits ? 0 : [...node.children].filter(child => child.getBoundingClientRect().bottom > bottom).length;
  show(button, cut > 0);
  if (cut) text(button, `+${cut} more ▾`);
}

export function moreOf(id) {
  const node = $(id);
  $(`${id}-more`).addEventListener('click', () => node.scrollBy({ top: node.clientHeight * 0.8 }));
}

// A moment by both clocks: the first never steps, and stands still in some browsers while the computer sleeps.
export const moment = (agoMs = 0) => [performance.now() - agoMs, Date.now() - agoMs];
export const ageMs = ([steady, wall]) => Math.max(performance.now() - steady, Date.now() - wall);

const two = number => String(number).padStart(2, '0');

// Local time with seconds.
export function clock(time) {
  const at = new Date(time);
  return Number.isNaN(at.getTime()) ? '–' : `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

// A length of time in words that are quick to read.
export function span(seconds) {
  if (!Number.isFinite(seconds)) return '–';
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor(whole / 60) % 60)} min`;
}

// "1.5s" as JSON writes a Duration.
export const seconds = duration => (duration === undefined || duration === null ? NaN : parseFloat(duration));
