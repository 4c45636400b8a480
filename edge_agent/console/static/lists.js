// The lane's quieter parts: header, why red, conditions, passages, tiles of all lanes.

import { $, ageMs, attribute, clock, el, list, more, seconds, show, span, text } from './dom.js';
import { draw, signalView } from './signal.js';
import { STALE_S } from './stream.js';
import * as trouble from './trouble.js';
import * as words from './words.js';

export function updateHeader(view) {
  const { state } = view;
  text($('mode'), state ? words.mode(state.mode) : '–');
  attribute($('mode'), 'data-rolls', String(state?.mode === 'LANE_MODE_REMOTE'));
  text($('order-known'), !state ? '' : state.corridor_order_known ? '✓ order known' : '✗ ORDER UNKNOWN');
  attribute($('order-known'), 'data-bad', String(state?.corridor_order_known === false));
  text($('centre'), !state ? '' : state.centre_up ? '✓ central up' : `✗ CENTRAL LOST ${span(view.since(state.centre_since))}`);
  attribute($('centre'), 'data-bad', String(state?.centre_up === false));
  text($('state-age'), !Number.isFinite(view.age) ? 'no state yet' : view.age < 1 ? 'state < 1 s old' : `state ${view.age.toFixed(1)} s old`);
  attribute($('state-age'), 'data-bad', String(view.stale));
  text($('clock'), clock(Date.now()));
}

export function updateContact(view, streaming) {
  const node = $('contact');
  show(node, view.stale);
  attribute($('lane'), 'data-stale', String(view.stale));
  attribute(document.body, 'data-stale', String(view.stale));
  if (!view.stale) return;
  const where = streaming ? '' : ' (this page has lost its console)';
  const seen = Number.isFinite(view.age);
  // The counting part is outside of what is read aloud.
  const since = seen ? `SINCE ${clock(view.lostAt)} — WHAT YOU SEE IS OLD` : '— NOTHING SEEN YET';
  text($('contact-words'), `NO CONTACT WITH LANE ${since}${where}`);
  text($('contact-age'), seen ? span(view.age) : '');
}

// Somebody works at the lane: who, why, and how long still. What they do there may move anything but the light to green.
export function updateWork(view) {
  const work = view.state?.maintenance;
  show($('work'), Boolean(work));
  if (!work) return;
  text($('work-words'), `⚒ MAINTENANCE BY ${work.officer}`);
  const left = seconds(work.left) - view.age;
  text($('work-left'), view.stale ? 'time left not known' : `${span(left)} left, then the lane is closed`);
  const captured = work.captured_devices?.length ? `What passes ${work.captured_devices.join(', ')} is captured.` : '';
  text($('work-small'), [`since ${clock(work.since?.time)}`, work.reason, captured].filter(Boolean).join(' · '));
}

// Above all: a device the lane needs is down, or nobody knows what the drivers see.
export function updateTrouble(view) {
  const said = view.stale || !view.state ? null : trouble.banner(view.state, view.unconfirmed);
  show($('trouble'), said !== null);
  text($('trouble-words'), said?.words ?? '');
  text($('trouble-small'), said?.small ?? '');
}

export function updateSignal(view) {
  const signal = signalView(view.state?.signal, view.stale);
  const { state } = view;
  draw($('signal-shape'), signal.kind);
  attribute($('signal'), 'data-kind', signal.kind);
  text($('signal-word'), signal.word);
  text($('signal-detail'), signal.detail);
  const closed = state?.mode === 'LANE_MODE_CLOSED' ? words.DRIVER.closed : words.DRIVER[signal.kind];
  text($('signal-driver'), signal.confirmed ? (closed ?? '') : '');
  text($('signal-age'), signal.confirmed ? `for ${span(view.since(state.signal.confirmed_since))}` : '');
  const fault = state?.signal?.fault ?? '';
  show($('signal-fault'), fault !== '');
  if (fault && $('signal-fault').dataset.code !== fault) {
    $('signal-fault').dataset.code = fault;
    $('signal-fault').replaceChildren(`▲ SIGNAL FAULT: ${fault.replaceAll('_', ' ')} `);
    $('signal-fault').append(el('button', { id: 'clear-fault', 'data-testid': 'clear-fault' }, 'Clear fault'));
  }
  if ($('clear-fault')) $('clear-fault').disabled = view.stale || state.mode !== 'LANE_MODE_CLOSED';
  return signal;
}

export function updateHold(view) {
  const hold = view.state?.hold;
  show($('held'), Boolean(hold));
  if (hold) {
    const reason = hold.reason ? ` — ${hold.reason}` : '';
    const clear = hold.may_clear?.length ? `. May clear: ${hold.may_clear.join(', ')}` : '';
    text($('held'), `■ LANE HELD by ${hold.officer || hold.role} for ${span(view.since(hold.since))}${reason}${clear}`);
  }
  $('clear-hold').disabled = view.stale || !hold;
  $('set-mode').disabled = view.stale;
}

export function updateWhy(view) {
  const causes = view.state?.red_causes ?? [];
  list(
    $('why'),
    causes,
    cause => `${cause.code}/${cause.by}/${cause.text}`,
    () => el('li', {}, el('b'), el('span', { class: 'dim' }), el('p', {}, el('span'), el('small'))),
    (node, cause) => {
      const said = trouble.cause(cause);
      const [title, since, next] = node.children;
      text(title, said.title);
      const by = cause.by ? trouble.by(cause.by) : '';
      const when = cause.since ? `${clock(cause.since.time)} · ${span(view.since(cause.since))}` : '';
      text(since, [when, by].filter(Boolean).join(' · '));
      text(next.children[0], said.hint);
      text(next.children[1], said.small);
      attribute(node, 'data-code', cause.code);
    },
  );
  more($('why'), $('why-more'));
  text($('why-title'), causes.length || view.stale ? 'Why red' : 'Nothing keeps it red');
}

export function updateConditions(view, acknowledge) {
  const conditions = view.state?.conditions ?? [];
  list(
    $('conditions'),
    conditions,
    condition => `${condition.code}/${condition.device}`,
    condition =>
      el(
        'li',
        { 'data-testid': 'condition' },
        el('span', { class: 'sign' }),
        el('div', {}, el('b'), el('span', { class: 'dim' }), el('p', {}, el('span'), el('small'))),
        el('button', { class: 'plain', 'data-testid': 'acknowledge', onclick: () => acknowledge(condition.code) }, 'Seen'),
      ),
    (node, condition) => {
      const [sign, level] = words.severity(condition.severity);
      attribute(node, 'data-severity', level);
      text(node.children[0], sign);
      attribute(node.children[0], 'aria-label', level);
      const said = trouble.condition(condition);
      const [title, since, next] = node.children[1].children;
      text(title, said.title);
      text(since, condition.since ? ` ${clock(condition.since.time)}` : '');
      text(next.children[0], said.hint);
      text(next.children[1], said.small);
      attribute(node, 'title', said.own);
      node.children[2].disabled = view.stale;
    },
  );
  more($('conditions'), $('conditions-more'));
  text($('conditions-title'), conditions.length ? `Conditions (${conditions.length})` : 'No conditions');
}

export function updatePassages(passages) {
  list(
    $('passages'),
    passages,
    passage => passage.bundle_id,
    () => el('tr', { 'data-testid': 'passage' }, ...Array.from({ length: 5 }, () => el('td'))),
    (row, passage) => {
      const latency = seconds(passage.decision_latency);
      [
        clock(passage.seal_time),
        words.outcome(passage.outcome),
        passage.released_without_stopping ? '✓ yes' : '– no',
        Number.isFinite(latency) ? `${latency.toFixed(2)} s` : '–',
        passage.delivered ? '✓ yes' : '… waiting',
      ].forEach((value, index) => text(row.children[index], value));
      attribute(row, 'data-outcome', passage.outcome);
      attribute(row, 'title', passage.flags.map(words.flag).join(', '));
    },
  );
}

export function updateTiles(tiles, shown, pick, me) {
  list(
    $('tiles'),
    tiles,
    tile => tile.index,
    tile =>
      el(
        'button',
        { class: 'tile', 'data-testid': 'tile', onclick: () => pick(tile.index) },
        el('span', { class: 'shape', 'aria-hidden': 'true' }),
        el('b'),
        el('span', { class: 'says' }),
        el('span', { class: 'dim' }),
      ),
    (node, tile) => {
      const age = (tile.state_age_s ?? Infinity) + ageMs(tiles.at) / 1000;
      const stale = !tile.connected || age > STALE_S;
      const signal = signalView(tile.signal, stale);
      const [shape, name, says, more] = node.children;
      draw(shape, signal.kind);
      text(name, tile.name);
      text(says, stale ? 'NO CONTACT' : signal.word);
      const alarms = [
        stale && Number.isFinite(age) ? span(age) : '',
        !stale && tile.hold ? '■ held' : '',
        !stale && tile.waiting ? `${tile.waiting} waiting` : '',
        !stale && tile.conveyances ? `${tile.conveyances} in lane` : '',
        !stale && tile.order_known === false ? 'order ?' : '',
        !stale && tile.alarms ? `▲ ${tile.alarms}` : '',
      ];
      const said = alarms.filter(Boolean).join(' · ') || words.mode(tile.mode).toLowerCase();
      text(more, stale ? said : `${said} · ${tile.controlled_by === me ? '✓ yours' : tile.controlled_by || 'nobody’s'}`);
      attribute(node, 'aria-current', String(tile.index === shown));
      attribute(node, 'data-stale', String(stale));
      attribute(node, 'data-waiting', String(!stale && Boolean(tile.waiting || tile.alarms)));
      attribute(node, 'data-kind', signal.kind);
    },
  );
}
