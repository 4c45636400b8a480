// What the signal may be said to show. Only a fresh, confirmed aspect is shown as one; everything else is UNKNOWN.

import { seconds, span } from './dom.js';
import * as words from './words.js';

const READBACK_OLD_S = 1.5;
const GREEN_GRADES = new Set(['GRADE_CONTACT', 'GRADE_LAMP']);
const KINDS = {
  ASPECT_RED: 'red',
  ASPECT_FLASHING_RED: 'red',
  ASPECT_AMBER: 'amber',
  ASPECT_GREEN: 'green',
  ASPECT_DARK: 'dark',
};

const unknown = (word, detail) => ({ kind: 'unknown', word, detail, confirmed: false });

// {kind: red | amber | green | dark | unknown, word, detail, confirmed}
export function signalView(signal, stale) {
  if (!signal) return unknown('UNKNOWN', 'nothing was seen yet');
  const commanded = words.aspect(signal.commanded);
  if (stale) return unknown('UNKNOWN', KINDS[signal.confirmed] ? `was ${words.aspect(signal.confirmed)} when last seen` : 'was not confirmed when last seen');
  const notConfirmed =
    commanded === 'NOTHING' ? 'The signal cannot be read: look at it on camera' : `${commanded} commanded, not confirmed`;
  const kind = KINDS[signal.confirmed];
  if (!kind) return unknown(commanded === 'GREEN' ? 'NOT CONFIRMED' : 'UNKNOWN', notConfirmed);
  const readback = seconds(signal.readback_age);
  if (readback > READBACK_OLD_S) return unknown('UNKNOWN', `feedback is ${span(readback)} old`);
  if (kind === 'green' && !GREEN_GRADES.has(signal.grade)) return unknown('NOT CONFIRMED', notConfirmed);
  const detail =
    signal.commanded === signal.confirmed
      ? `confirmed by ${words.grade(signal.grade)}`
      : `${notConfirmed} · feedback says ${words.aspect(signal.confirmed)}`;
  return { kind, word: words.aspect(signal.confirmed), detail, confirmed: true };
}

const SHAPES = {
  red: '<polygon points="30,4 70,4 96,30 96,70 70,96 30,96 4,70 4,30"/><rect class="cut" x="20" y="42" width="60" height="16"/>',
  amber: '<polygon points="50,6 97,92 3,92"/><rect class="cut" x="45" y="36" width="10" height="28"/><rect class="cut" x="45" y="70" width="10" height="10"/>',
  green: '<circle cx="50" cy="50" r="46"/><path class="cut" d="M50 18 76 50H60V80H40V50H24Z"/>',
  dark: '<circle class="hollow" cx="50" cy="50" r="42"/><path class="line" d="M20 80 80 20"/>',
  unknown: '<rect class="hatch" x="5" y="5" width="90" height="90" rx="8"/><text x="50" y="72" text-anchor="middle">?</text>',
};

const HATCH =
  '<defs><pattern id="hatch" width="10" height="10" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">' +
  '<rect class="stripe" width="5" height="10"/></pattern></defs>';

// A shape of its own for each aspect: colour is never the only sign.
export function draw(node, kind) {
  if (node.dataset.kind === kind) return;
  node.dataset.kind = kind;
  node.innerHTML = `<svg viewBox="0 0 100 100">${kind === 'unknown' ? HATCH : ''}${SHAPES[kind]}</svg>`;
}
