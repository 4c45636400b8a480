// The conveyances, one card each, from the stop line upstream.

import { $, attribute, el, list, seconds, show, span, text } from './dom.js';
import * as words from './words.js';

const FROM_M = -70;
const TO_M = 45;
const percent = metres => Math.min(100, Math.max(0, ((metres - FROM_M) / (TO_M - FROM_M)) * 100));

const CAUTION = new Set(['VERDICT_HOLD_AT_LINE', 'VERDICT_REFER_SECONDARY', 'VERDICT_REFUSE_RETURN', 'VERDICT_MANUAL_LANE']);

function make(id, desk) {
  const part = (name, tag = 'div') => el(tag, { class: name, 'data-part': name, 'data-testid': `conveyance-${name}` });
  const button = (act, label, key, onclick) =>
    el('button', { 'data-testid': act, 'data-act': act, onclick }, `${label} `, el('kbd', {}, key));
  const card = el(
    'li',
    { class: 'card', 'data-testid': 'conveyance', 'data-id': id, onclick: () => desk.select(id) },
    el('div', { class: 'head' }, part('order', 'span'), part('commit', 'span'), part('phase', 'span')),
    part('decision'),
    part('grant'),
    el('ul', { class: 'legs', 'data-part': 'legs', 'aria-label': 'Identity' }),
    el(
      'div',
      { class: 'where' },
      el('div', { class: 'bar', 'data-part': 'bar', 'aria-hidden': 'true' }, el('i', { class: 'line' }), el('i', { class: 'nose' })),
      part('place'),
    ),
    el('ul', { class: 'flags', 'data-part': 'flags', 'aria-label': 'Remarks', 'data-testid': 'conveyance-flags' }),
    part('hold'),
    el('dl', { class: 'identities', 'data-part': 'identities', 'data-testid': 'conveyance-identities' }),
    el(
      'div',
      { class: 'row buttons', 'data-part': 'buttons' },
      button('release', 'RELEASE', 'R', () => desk.release(id)),
      button('refer', 'REFER', 'F', () => desk.refer(id)),
      button('hold-conveyance', 'HOLD', 'K', () => desk.holdConveyance(id)),
      button('direct', 'Direct', 'D', () => desk.direct(id)),
    ),
  );
  card.querySelector('.line').style.left = `${percent(0)}%`;
  card.parts = Object.fromEntries([...card.querySelectorAll('[data-part]')].map(node => [node.dataset.part, node]));
  return card;
}

// Where it is: never live when no sensor is, and 0..0 is what a lane sends that has no place for it.
const placed = (each, view) =>
  view.sees && (each.standing_at_line || each.position_earliest_m !== 0 || each.position_latest_m !== 0);

function commitWords(each, view) {
  if (each.order === 0) return 'past the line';
  if (view.stale || !placed(each, view)) return '≈ ?';
  if (each.standing_at_line) return 'stands at line';
  const left = seconds(each.commit_in) - view.age;
  // Nearer than it can brake from: under green it can no longer be stopped; without, it may no longer roll through.
  if (each.committed || left < 0) return each.green ? 'too late to stop' : 'must stop';
  return Number.isFinite(left) ? `≈ ${Math.ceil(left)} s` : '≈ ?';
}

function placeWords(each, view) {
  if (view.sees && each.standing_at_line) return 'at the line';
  if (!placed(each, view)) return 'place ? · speed ?';
  const middle = Math.round((each.position_earliest_m + each.position_latest_m) / 2);
  const where = middle < 0 ? `${-middle} m before` : `${middle} m past`;
  return `${where} · ${each.speed_kmh > 0 ? `${Math.round(each.speed_kmh)} km/h` : 'speed ?'}`;
}

function decisionWords(each, view) {
  const decision = each.decision;
  if (!decision) return ['no decision yet', '', 'none'];
  const left = view.left(decision);
  const live = each.decision_live && left > 0;
  const life = !live ? 'no longer live' : view.stale ? 'life not known' : `${span(left)} left`;
  const by = [words.authority(decision.authority), decision.officer, decision.basis, life].filter(Boolean).join(' · ');
  const reason = words.REASONS[decision.referral_reason];
  const said = `${words.verdict(decision.verdict)}${reason ? ` (${reason})` : ''}`;
  return [said, by, !live ? 'dead' : CAUTION.has(decision.verdict) ? 'caution' : 'live'];
}

function updateLegs(parts, each) {
  list(
    parts.legs,
    each.legs,
    leg => leg.leg,
    leg => el('li', { 'data-testid': `leg-${words.leg(leg.leg).toLowerCase()}` }),
    (node, leg) => {
      // What is still to come is no alarm; what is lacking where the vehicle should have been decided is.
      const due = each.committed || each.standing_at_line || each.order === 0;
      const kind = leg.complete ? 'complete' : !leg.required ? 'optional' : due ? 'lacking' : 'missing';
      attribute(node, 'data-kind', kind);
      const sure = leg.confidence ? `${Math.round(leg.confidence * 100)} % sure` : 'known';
      const says = leg.claims ? sure : kind === 'optional' ? 'none' : 'missing';
      text(node, `${{ complete: '✓', missing: '✗', lacking: '✗', optional: '–' }[kind]}\u00a0${words.chip(leg.leg)}\n${says}`);
      attribute(node, 'title', `${words.leg(leg.leg)}: ${leg.claims} claims`);
    },
  );
}

function update(card, each, view, desk, index) {
  const { parts } = card;
  const selected = desk.selected === each.conveyance_id;
  attribute(card, 'aria-current', String(selected));
  attribute(card, 'data-order', String(each.order));
  attribute(card, 'data-etag', each.etag);
  text(parts.order, each.order ? String(each.order) : '↗');
  attribute(parts.order, 'aria-label', each.order ? `Place ${each.order}` : 'Past the line');
  text(parts.commit, commitWords(each, view));
  text(parts.phase, words.phase(each.phase));
  const [verdict, detail, kind] = decisionWords(each, view);
  if (parts.decision.children.length === 0) parts.decision.append(el('b'), el('span'));
  text(parts.decision.children[0], verdict);
  text(parts.decision.children[1], detail);
  attribute(parts.decision, 'data-kind', kind);
  const granted = each.green && desk.signal?.kind === 'green';
  show(parts.grant, each.green);
  text(parts.grant, granted ? '▲ the green is for this one' : '△ green commanded for this one, not confirmed');
  attribute(parts.grant, 'data-confirmed', String(granted));
  updateLegs(parts, each);
  const from = percent(each.position_latest_m);
  parts.bar.lastChild.style.left = `${from}%`;
  parts.bar.lastChild.style.width = `${Math.max(1.5, percent(each.position_earliest_m) - from)}%`;
  show(parts.bar.lastChild, placed(each, view));
  text(parts.place, placeWords(each, view));
  list(parts.flags, each.flags, flag => flag, flag => el('li', { 'data-grave': String(words.grave(flag)) }, words.flag(flag)), () => {});
  show(parts.hold, Boolean(each.hold));
  if (each.hold) text(parts.hold, `■ HELD by ${each.hold.officer} for ${span(view.since(each.hold.since))}${each.hold.reason ? ` — ${each.hold.reason}` : ''}`);
  const open = selected || (index === 0 && !desk.selected);
  list(
    parts.identities,
    open ? (each.identities ?? []) : [],
    identity => `${identity.kind}/${identity.value}/${identity.source}`,
    identity => el('div', {}, el('dt', {}, words.identity(identity.kind)), el('dd', {}, identity.value), el('dd', { class: 'dim' }, `${identity.source} ${Math.round(identity.confidence * 100)} %`)),
    () => {},
  );
  show(parts.buttons, selected);
  for (const button of parts.buttons.children) {
    button.disabled = view.stale || each.order === 0;
    if (button.dataset.act === 'hold-conveyance') text(button.firstChild, `${each.hold ? 'CLEAR' : 'HOLD'} ${each.order} `);
  }
}

export function updateQueue(view, desk) {
  const conveyances = view.state?.conveyances ?? [];
  list(
    $('queue'),
    conveyances,
    each => each.conveyance_id,
    each => make(each.conveyance_id, desk),
    (card, each, index) => update(card, each, view, desk, index),
  );
  show($('queue-empty'), conveyances.length === 0);
  updateCorridor(view, conveyances, desk);
}

const ZONES = { zone_a: 'A', zone_d: 'D', zone_s: 'S', stop_line_beam: 'line', zone_x: 'X' };
const LEVELS = { LEVEL_FREE: ['○', 'free'], LEVEL_OCCUPIED: ['●', 'occupied'], LEVEL_UNKNOWN: ['?', 'unknown'] };

function updateCorridor(view, conveyances, desk) {
  const node = $('corridor');
  if (!node.road) {
    node.zones = el('ul', { class: 'zones', 'aria-label': 'Zones' });
    node.road = el('div', { class: 'road' }, el('i', { class: 'stop-line' }));
    node.noses = el('div', { class: 'noses' });
    node.road.append(node.noses);
    node.road.querySelector('.stop-line').style.left = `${percent(0)}%`;
    for (const metres of [-60, -40, -20, 0, 20, 40]) {
      const mark = el('span', { class: 'mark' }, metres === 0 ? 'stop line' : `${Math.abs(metres)}`);
      mark.style.left = `${percent(metres)}%`;
      node.road.append(mark);
    }
    node.lost = el('b', { class: 'lost', hidden: true }, 'positions are not known');
    node.append(node.road, node.lost, node.zones);
  }
  list(
    node.noses,
    conveyances,
    each => each.conveyance_id,
    each => el('button', { class: 'truck', tabindex: '-1', onclick: () => desk.select(each.conveyance_id) }),
    (truck, each) => {
      const from = percent(each.position_latest_m);
      show(truck, placed(each, view));
      truck.style.left = `${from}%`;
      truck.style.width = `${Math.max(2.2, percent(each.position_earliest_m) - from)}%`;
      text(truck, each.order ? String(each.order) : '');
      attribute(truck, 'aria-current', String(desk.selected === each.conveyance_id));
    },
  );
  list(
    node.zones,
    view.state?.zones ?? [],
    zone => zone.zone,
    () => el('li'),
    (item, zone) => {
      const [sign, level] = LEVELS[zone.level] ?? LEVELS.LEVEL_UNKNOWN;
      text(item, `${sign} ${ZONES[zone.zone] ?? zone.zone} ${level}`);
      attribute(item, 'data-level', level);
    },
  );
  show(node.lost, !view.sees);
  attribute(node, 'aria-label', `Corridor: ${conveyances.length} conveyances`);
}
