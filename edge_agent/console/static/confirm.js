// Two steps for what may lead to green: armed by one key, sent by Enter within three seconds, dropped when what the
// person looked at changes.

import { $, el, show, text } from './dom.js';

const WITHIN_MS = 3000;
const LEAST_MS = 350; // a double click or a bouncing key is no confirmation

export class Confirm {
  constructor() {
    this.armed = null;
    this.node = $('confirm');
    this.words = el('b', { role: 'alert', 'data-testid': 'confirm-words' });
    this.left = el('span', { class: 'dim' });
    const go = el('button', { class: 'go', 'data-testid': 'confirm-go', onclick: () => this.go() }, 'Confirm ', el('kbd', {}, 'Enter'));
    const back = el('button', { 'data-testid': 'confirm-back', onclick: () => this.drop() }, 'Back ', el('kbd', {}, 'Esc'));
    this.node.append(this.words, this.left, el('div', { class: 'row' }, go, back));
  }

  // `still` tells whether what was looked at is unchanged; `send` is called once.
  arm(words, still, send, changed = () => {}) {
    this.armed = { still, send, changed, at: performance.now() };
    text(this.words, words);
    this.update();
  }

  go() {
    const armed = this.armed;
    if (!armed || performance.now() - armed.at < LEAST_MS) return;
    this.drop();
    if (armed.still()) armed.send();
    else armed.changed();
  }

  drop() {
    this.armed = null;
    show(this.node, false);
  }

  update() {
    if (!this.armed) return;
    const left = WITHIN_MS - (performance.now() - this.armed.at);
    if (left <= 0) return this.drop();
    if (!this.armed.still()) {
      const { changed } = this.armed;
      this.drop();
      return changed();
    }
    text(this.left, `within ${Math.ceil(left / 1000)} s`);
    show(this.node, true);
  }
}
