// The officer's desk: one lane in view, what may be done to it, and the keys.

import { changes, put } from './acts.js';
import { updateActuators } from './actuators.js';
import { Confirm } from './confirm.js';
import { Control, passes, REASONS } from './control.js';
import { $, attribute, clock, el, moment, moreOf, show, text } from './dom.js';
import * as lists from './lists.js';
import { Panel } from './panel.js';
import { Picture } from './picture.js';
import { updateQueue } from './queue.js';
import { Stream, View } from './stream.js';
import * as words from './words.js';

const TICK_MS = 100;
const PASSAGES_MS = 4000;
const AGAIN_MS = 1000;
const RELEASE = 'RELEASE';

class Desk {
  constructor(lanes, officer) {
    this.lanes = lanes;
    this.control = new Control(officer);
    this.tiles = [];
    this.selected = null;
    this.signal = null;
    this.confirm = new Confirm();
    this.panel = new Panel();
    this.picture = new Picture();
    show($('tiles'), lanes.length > 1);
    show($('lane-keys'), lanes.length > 1);
    this.showLane(Number(location.hash.slice(1)) || 0);
    setInterval(() => this.update(), TICK_MS);
    setInterval(() => this.fetchPassages(), PASSAGES_MS);
  }

  get index() {
    return this.view.lane.index;
  }

  showLane(index) {
    const lane = this.lanes[index] ?? this.lanes[0];
    this.stream?.close();
    this.confirm.drop();
    this.panel.close();
    this.dismiss();
    this.selected = null;
    text($('result'), '');
    this.view = new View(lane);
    location.hash = String(lane.index);
    document.title = `${lane.name} · Lane console`;
    text($('lane-name'), lane.name);
    this.stream = new Stream(lane.index, this.lanes.length > 1, (kind, data) => this.take(kind, data));
    this.picture.watch(lane.media_url, lane.media_token);
    lists.updatePassages([]);
    this.fetchPassages();
    this.update();
  }

  take(kind, data) {
    if (kind === 'signed-out') location.assign('/login');
    else if (kind === 'lanes') this.tiles = Object.assign(data, { at: moment() });
    else this.view.take(kind, data);
    if (kind === 'state') return; // its age comes right behind it
    this.control.beat(this.view, this.tiles, this.view.stale);
    this.update();
  }

  update() {
    const { view } = this;
    if (this.selected && !view.conveyance(this.selected)) this.selected = null;
    lists.updateHeader(view);
    lists.updateContact(view, performance.now() - this.stream.heard < 2500);
    this.control.update(view);
    lists.updateWork(view);
    lists.updateTrouble(view);
    this.signal = lists.updateSignal(view);
    updateActuators(view, () => this.silence());
    lists.updateHold(view);
    lists.updateWhy(view);
    lists.updateConditions(view, code => this.acknowledge(code));
    lists.updateTiles(this.tiles, this.index, index => this.showLane(index), this.control.me);
    updateQueue(view, this);
    this.updateOrder();
    this.confirm.update();
    this.panel.update();
    this.picture.update();
  }

  updateOrder() {
    const { state, stale } = this.view;
    const banner = $('order-banner');
    show(banner, state?.corridor_order_known === false);
    if (!banner.firstChild) {
      const words = el('span', {}, 'ORDER UNKNOWN: a vehicle may stand unseen');
      const button = el('button', { 'data-testid': 'confirm-order', onclick: () => this.confirmOrder() }, 'CONFIRM ORDER ', el('kbd', {}, 'O'));
      banner.append(words, button);
    }
    banner.lastChild.disabled = stale;
  }

  async fetchPassages() {
    const { view } = this;
    try {
      const answer = await fetch(`/api/lanes/${view.lane.index}/passages`, { signal: AbortSignal.timeout(3000) });
      if (answer.ok && view === this.view) lists.updatePassages((await answer.json()).passages);
    } catch {
      // The banner tells of lost contact; the table keeps what was true.
    }
  }

  select(id) {
    if (this.selected !== id) this.confirm.drop();
    this.selected = id;
    this.update();
    document.querySelector(`[data-id="${CSS.escape(id)}"]`)?.scrollIntoView({ block: 'nearest' });
  }

  step(by) {
    const ids = (this.view.state?.conveyances ?? []).map(each => each.conveyance_id);
    if (!ids.length) return;
    const at = ids.indexOf(this.selected);
    this.select(ids[at < 0 ? (by > 0 ? 0 : ids.length - 1) : Math.min(ids.length - 1, Math.max(0, at + by))]);
  }

  // Sends, and says in one place what became of it.
  async send(title, act, body, before = null) {
    const { lane } = this.view;
    this.tell('sent', `${title}: sent…`);
    const answer = await put(lane.index, act, body);
    const where = this.lanes.length > 1 ? `${lane.name}: ` : '';
    if (answer.ok) this.tell('done', `${where}✓ ${title} arrived ${clock(Date.now())} (${answer.ms} ms)`);
    else {
      const known = answer.known === false ? 'ARRIVAL NOT KNOWN' : 'NOT DONE';
      this.tell('failed', `${where}✗ ${clock(Date.now())} ${title} ${known}: ${answer.message}`);
      if (answer.code === 'FAILED_PRECONDITION' && before) this.tellChanged(title, before, answer.message);
    }
    this.fetchPassages();
    return answer;
  }

  tell(kind, message) {
    const node = $('result');
    attribute(node, 'data-kind', kind);
    attribute(node, 'role', kind === 'failed' ? 'alert' : 'status');
    text(node, message);
  }

  // What is no longer as it was on the screen: look again, then decide again.
  tellChanged(title, before, message) {
    this.changed = { title, before, message };
    const node = $('changed');
    const draw = () => {
      const rows = changes(before, this.view.conveyance(before.conveyance_id)).map(([what, then, now]) =>
        el('li', {}, `${what}: `, el('s', {}, then), ' → ', el('b', {}, now)),
      );
      node.replaceChildren(
        el('b', {}, `${title} was not done: what you saw has changed. Look again.`),
        el('p', {}, message),
        el('ul', {}, ...rows),
        el('button', { class: 'plain', 'data-testid': 'changed-seen', onclick: () => this.dismiss() }, 'I have looked ', el('kbd', {}, 'Esc')),
      );
    };
    draw();
    setTimeout(() => this.changed?.before === before && draw(), 400); // the new state may come just after the refusal
    show(node, true);
  }

  dismiss() {
    this.changed = null;
    show($('changed'), false);
  }

  hold() {
    this.confirm.drop();
    this.send('HOLD', 'hold_lane', { reason: 'held at the console' });
  }

  // The conveyance as displayed now, or null with the reason told. `free`: the act needs no control of the lane.
  target(id, free = false) {
    if (this.view.stale) return this.tell('failed', '✗ no contact with the lane: only HOLD is tried');
    const seen = this.view.conveyance(id);
    const against = this.control.against(this.view);
    if (against && !free) return this.tell('failed', against);
    if (!seen) return this.tell('failed', '✗ select a conveyance first: arrow keys or its number');
    if (seen.order === 0) return this.tell('failed', '✗ it is past the stop line');
    return seen;
  }

  bound(seen) {
    return { conveyance_id: seen.conveyance_id, etag: seen.etag, identity_digest: seen.identity_digest };
  }

  // Whether the officer still looks at what was there when the act began.
  stillSeen(seen) {
    const now = this.view.conveyance(seen.conveyance_id);
    return !this.view.stale && now?.etag === seen.etag && now.identity_digest === seen.identity_digest;
  }

  changedSeen(title, seen) {
    return () => (this.view.stale ? this.tell('failed', '✗ contact with the lane was lost') : this.tellChanged(title, seen, ''));
  }

  release(id = this.selected) {
    const seen = this.target(id);
    if (!seen) return;
    this.dismiss();
    const send = () => this.send(RELEASE, 'release', { ...this.bound(seen), reason: 'released at the console' }, seen);
    this.confirm.arm(`RELEASE number ${seen.order}?`, () => this.stillSeen(seen), send, this.changedSeen(RELEASE, seen));
  }

  refer(id = this.selected) {
    const seen = this.target(id);
    if (!seen) return;
    this.dismiss();
    this.panel.choose({
      name: 'refer',
      title: `Refer number ${seen.order} to secondary`,
      note: words.DRIVER.refer,
      options: Object.entries(words.REASONS),
      label: reason => `REFER: ${reason}`,
      still: () => this.stillSeen(seen),
      changed: this.changedSeen('REFER', seen),
      send: reason => this.send('REFER', 'refer', { ...this.bound(seen), referral_reason: reason, reason: 'referred at the console' }, seen),
    });
  }

  direct(id = this.selected) {
    const seen = this.target(id);
    if (!seen) return;
    const verdicts = ['VERDICT_HOLD_AT_LINE', 'VERDICT_REFUSE_RETURN', 'VERDICT_MANUAL_LANE'];
    this.panel.choose({
      name: 'direct',
      title: `Direct number ${seen.order}`,
      options: verdicts.map(name => [name, words.verdict(name)]),
      label: name => name,
      still: () => this.stillSeen(seen),
      changed: this.changedSeen('DIRECT', seen),
      send: verdict =>
        this.send('DIRECT', 'direct', { conveyance_id: seen.conveyance_id, etag: seen.etag, verdict, reason: 'directed at the console' }, seen),
    });
  }

  holdConveyance(id = this.selected) {
    const seen = this.target(id, true);
    if (!seen) return;
    const body = { conveyance_id: seen.conveyance_id };
    if (seen.hold && !this.controls()) return;
    if (!seen.hold) return this.send(`HOLD number ${seen.order}`, 'hold_conveyance', { ...body, reason: 'held at the console' });
    const title = `CLEAR HOLD of number ${seen.order}`;
    const send = () => this.send(title, 'clear_hold', { ...body, etag: seen.hold.etag, reason: 'cleared at the console' }, seen);
    this.confirm.arm(`${title}?`, () => this.stillSeen(seen), send, this.changedSeen(title, seen));
  }

  clearHold() {
    const { state, stale } = this.view;
    if (stale || !state.hold || !this.controls()) return;
    const { etag } = state.hold;
    const still = () => !this.view.stale && this.view.state.hold?.etag === etag;
    const send = () => this.send('CLEAR HOLD', 'clear_hold', { etag, reason: 'cleared at the console' });
    this.confirm.arm('CLEAR HOLD of the lane?', still, send, () => this.tell('failed', '✗ the hold has changed: look again'));
  }

  setMode() {
    const { state, stale } = this.view;
    if (stale) return;
    const mine = this.control.of(this.view) === 'mine';
    const allowed = name => name !== 'LANE_MODE_FAULT' && name !== state.mode && (mine || passes(name) <= passes(state.mode));
    const modes = Object.entries(words.MODES).filter(([name]) => allowed(name));
    this.panel.choose({
      name: 'mode',
      title: `Lane mode, now ${words.mode(state.mode)}`,
      note: mine ? '' : 'You do not control this lane: only modes that let no more pass. T takes control.',
      options: modes.map(([name, [label, detail]]) => [name, label, detail]),
      label: name => `Set ${name}`,
      still: () => !this.view.stale && this.view.state.mode === state.mode,
      changed: () => this.tell('failed', '✗ the mode has changed meanwhile: look again'),
      send: mode => this.send(`MODE ${words.mode(mode)}`, 'set_mode', { mode, reason: 'set at the console' }),
    });
  }

  confirmOrder() {
    const { state, stale } = this.view;
    if (stale || state.corridor_order_known || !this.controls()) return;
    const { etag } = state;
    const upstream = state.conveyances.filter(each => each.order > 0);
    const left = count => (count < upstream.length ? `; ${upstream.length - count} listed not there` : '');
    this.panel.tick({
      name: 'order',
      title: 'Which of these stand in the corridor?',
      note: 'Tick what you see on camera, from the stop line upstream. The rest is closed as not there.',
      items: upstream.map(each => [each.conveyance_id, `Number ${each.order} · ${words.phase(each.phase)}`, (each.identities ?? []).map(one => one.value).join(' · ')]),
      label: count => (count ? `I see exactly ${count}, in this order${left(count)}` : `The corridor is EMPTY${left(0)}`),
      still: () => !this.view.stale && this.view.state.etag === etag,
      changed: () => this.tell('failed', '✗ the lane has changed: look again, then confirm'),
      send: ids => this.send('CONFIRM ORDER', 'confirm_order', { etag, conveyance_ids: ids, reason: 'corridor seen on camera' }),
    });
  }

  // Whether this officer controls the lane; when not, that is told.
  controls() {
    const against = this.control.against(this.view);
    if (against) this.tell('failed', against);
    return !against;
  }

  takeControl() {
    const { state, stale, lane } = this.view;
    if (stale) return;
    const shown = state.control?.officer ?? '';
    const still = () => !this.view.stale && (this.view.state.control?.officer ?? '') === shown;
    const changed = () => this.tell('failed', '✗ control has changed meanwhile: look again');
    const whose = this.control.of(this.view);
    if (whose === 'mine') {
      const give = () => this.send('GIVE BACK CONTROL', 'give_control', { reason: 'given back at the console' });
      return this.confirm.arm('GIVE BACK CONTROL? Your releases end.', still, give, changed);
    }
    if (whose === 'nobody') {
      const take = () => this.send('TAKE CONTROL', 'take_control', { displaces: '', reason: 'taken at the console' });
      return this.confirm.arm(`TAKE CONTROL of ${lane.name}?`, still, take, changed);
    }
    this.panel.choose({
      name: 'control',
      title: `${shown} controls this lane. Take over?`,
      note: `${shown} is shown that you took over, when and why. Releases in force stay in force: you answer for them.`,
      options: REASONS.map(reason => [reason, reason]),
      label: reason => `TAKE OVER: ${reason}`,
      still,
      changed,
      send: reason => this.send('TAKE OVER', 'take_control', { displaces: shown, reason }),
    });
  }

  clearFault() {
    this.send('CLEAR FAULT', 'clear_fault', { reason: 'cleared at the console' });
  }

  silence() {
    this.send('SILENCE', 'silence', { reason: 'heard at the console' });
  }

  acknowledge(code) {
    this.send('SEEN', 'acknowledge', { condition: code, reason: 'seen at the console' });
  }

  back() {
    if (this.confirm.armed) this.confirm.drop();
    else if (this.panel.open) this.panel.close();
    else if (this.changed) this.dismiss();
    else if (!this.control.seen(this.view)) this.selected = null;
    text($('result'), '');
    this.update();
  }

  number(digit) {
    if (this.panel.open) return this.panel.pick(digit - 1);
    const each = this.view.state?.conveyances?.find(one => one.order === digit);
    if (each) this.select(each.conveyance_id);
  }

  enter(event) {
    if (this.confirm.armed) {
      if (document.activeElement?.dataset.testid === 'confirm-back') return;
      event.preventDefault();
      this.confirm.go();
    } else if (this.panel.open && !this.panel.node.querySelector('.row').contains(document.activeElement)) {
      event.preventDefault();
      this.panel.go();
    }
  }
}

const KEYS = {
  h: desk => desk.hold(),
  c: desk => desk.clearHold(),
  r: desk => desk.release(),
  f: desk => desk.refer(),
  k: desk => desk.holdConveyance(),
  d: desk => desk.direct(),
  o: desk => desk.confirmOrder(),
  m: desk => desk.setMode(),
  t: desk => desk.takeControl(),
  v: desk => desk.picture.next(),
  escape: desk => desk.back(),
  arrowdown: desk => desk.step(1),
  arrowup: desk => desk.step(-1),
  '[': desk => desk.showLane((desk.index + desk.lanes.length - 1) % desk.lanes.length),
  ']': desk => desk.showLane((desk.index + 1) % desk.lanes.length),
};

function onKey(desk, event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const key = event.key.toLowerCase();
  if (event.repeat && !key.startsWith('arrow')) return;
  if (key === 'enter') return desk.enter(event);
  if (/^[1-9]$/.test(key)) return desk.number(Number(key));
  if (!KEYS[key]) return;
  event.preventDefault();
  KEYS[key](desk);
}

async function begin() {
  const answer = await fetch('/api/lanes').catch(() => null);
  if (!answer) return setTimeout(begin, AGAIN_MS); // the banner the page begins with stays until there is contact
  if (!answer.ok) return location.assign('/login');
  const { officer, lanes } = await answer.json();
  text($('officer'), officer);
  const desk = new Desk(lanes, officer);
  moreOf('why');
  moreOf('conditions');
  document.addEventListener('keydown', event => onKey(desk, event));
  $('hold').addEventListener('click', () => desk.hold());
  $('clear-hold').addEventListener('click', () => desk.clearHold());
  $('set-mode').addEventListener('click', () => desk.setMode());
  $('control').addEventListener('click', () => desk.takeControl());
  addEventListener('hashchange', () => Number(location.hash.slice(1)) !== desk.index && desk.showLane(Number(location.hash.slice(1))));
  $('signal-fault').addEventListener('click', event => event.target.id === 'clear-fault' && desk.clearFault());
}

begin();
