// The one panel for choices. It is not modal: HOLD stays in reach of key and mouse.

import { $, attribute, el, show, text } from './dom.js';

export class Panel {
  constructor() {
    this.node = $('panel');
    this.open = null;
  }

  // One of several. `send(value)` is called on Enter or the button, while `still()` holds.
  choose({ name, title, note, options, label, still, send, changed }) {
    const buttons = options.map(([value, words, detail], index) =>
      el(
        'button',
        { class: 'option', 'aria-pressed': 'false', 'data-value': value, onclick: () => this.pick(index) },
        el('kbd', {}, String(index + 1)),
        el('span', {}, words),
        detail ? el('small', {}, detail) : null,
      ),
    );
    const go = el('button', { class: 'go', disabled: true, 'data-testid': 'panel-go', onclick: () => this.go() });
    this.begin({ name, title, note, body: el('div', { class: 'options' }, ...buttons), go, still, changed });
    Object.assign(this.open, {
      buttons,
      chosen: null,
      pick: index => {
        if (!options[index]) return;
        this.open.chosen = index;
        buttons[index].focus();
        buttons.forEach((button, at) => attribute(button, 'aria-pressed', String(at === index)));
        go.disabled = false;
        text(go, label(options[index][1]));
      },
      send: () => this.open.chosen !== null && send(options[this.open.chosen][0]),
    });
    text(go, 'Choose one');
  }

  // Which of these are really there. `send(ids)` gets those ticked, in the order shown.
  tick({ name, title, note, items, label, still, send, changed }) {
    const ticked = new Set();
    const go = el('button', { class: 'go', 'data-testid': 'panel-go', onclick: () => this.go() });
    const buttons = items.map(([value, words, detail], index) =>
      el(
        'button',
        { class: 'option', role: 'checkbox', 'aria-checked': 'false', 'data-value': value, onclick: () => this.pick(index) },
        el('kbd', {}, String(index + 1)),
        el('span', {}, words),
        detail ? el('small', {}, detail) : null,
      ),
    );
    this.begin({ name, title, note, body: el('div', { class: 'options' }, ...buttons), go, still, changed });
    const chosen = () => items.map(([value]) => value).filter(value => ticked.has(value));
    Object.assign(this.open, {
      pick: index => {
        if (!items[index]) return;
        const value = items[index][0];
        if (!ticked.delete(value)) ticked.add(value);
        attribute(buttons[index], 'aria-checked', String(ticked.has(value)));
        text(go, label(chosen().length));
      },
      send: () => send(chosen()),
    });
    text(go, label(0));
  }

  begin({ name, title, note, body, go, still, changed }) {
    const back = el('button', { 'data-testid': 'panel-back', onclick: () => this.close() }, 'Back ', el('kbd', {}, 'Esc'));
    this.node.replaceChildren(
      el('h2', { id: 'panel-title' }, title),
      note ? el('p', {}, note) : '',
      body,
      el('div', { class: 'row' }, go, back),
    );
    attribute(this.node, 'aria-labelledby', 'panel-title');
    attribute(this.node, 'data-name', name);
    this.open = { name, still, changed, pick: () => {}, send: () => {} };
    show(this.node, true);
    (this.node.querySelector('.option') ?? go).focus();
  }

  pick(index) {
    this.open?.pick(index);
  }

  go() {
    const open = this.open;
    if (!open || this.node.querySelector('.go').disabled) return;
    if (!open.still()) return this.drop();
    open.send();
    this.close();
  }

  drop() {
    const { changed } = this.open;
    this.close();
    changed();
  }

  close() {
    this.open = null;
    show(this.node, false);
    this.node.replaceChildren();
  }

  update() {
    if (this.open && !this.open.still()) this.drop();
  }
}
