// Barrier arm, message sign, beacon and tone in one short list. What is only asked for is never told as done.

import { $, attribute, el, list, show, span, text } from './dom.js';
import * as words from './words.js';

const ARM = {
  POSITION_UP: ['▲', 'Arm up'],
  POSITION_DOWN: ['▬', 'Arm down'],
  POSITION_BETWEEN: ['◢', 'Arm between'],
  POSITION_BOTH: ['✗', 'Arm: its switches contradict'],
};
const ASKED = { MOVEMENT_RAISE: ' · asked up', MOVEMENT_LOWER: ' · asked down' };
const SAYS = {
  TEXT_STOP: words.DRIVER.red,
  TEXT_PROCEED: words.DRIVER.green,
  TEXT_SECONDARY: words.DRIVER.refer,
  TEXT_CLOSED: words.DRIVER.closed,
  TEXT_BLANK: 'blank',
};
const CONFIRMING = new Set(['GRADE_CONTACT', 'GRADE_LAMP']);
const FAULTS = {
  BARRIER_NOT_MOVED: 'it did not move',
  BARRIER_MOVED_UNASKED: 'somebody moved it',
  BARRIER_LIMITS_CONFLICT: 'its switches contradict',
};

function arm(state, since) {
  const [sign, said] = ARM[state.position] ?? ['?', 'Arm: place not known'];
  const fault = state.fault ? ` · FAULT: ${FAULTS[state.fault] ?? state.fault}` : '';
  const told = `${sign} ${said}${ASKED[state.asked] ?? ''}${fault}`;
  return { name: 'arm', told, since: since(state.position_since), bad: Boolean(state.fault) || !ARM[state.position] };
}

function sign(state, since) {
  const wanted = SAYS[state.wanted] ?? '?';
  // The outputs that it hangs on are no word of the sign's own.
  const known = CONFIRMING.has(state.grade) ? '' : ' · commanded only';
  const told =
    state.shown === state.wanted
      ? `Sign: ${wanted}${known}`
      : SAYS[state.shown]
        ? `Sign says ${SAYS[state.shown]}, not ${wanted}`
        : `Sign not confirmed: ${wanted}`;
  return { name: 'sign', told, since: since(state.wanted_since), bad: state.shown !== state.wanted };
}

function alarm(name, label, state, since) {
  const on = state.wanted === 'LEVEL_ON' || state.shown === 'LEVEL_ON';
  const bad = state.shown !== state.wanted;
  const silenced = state.silenced_by ? ` · silenced by ${state.silenced_by}` : '';
  if (!on && !bad && !silenced) return null;
  const told = (bad ? `${label}: not confirmed` : on ? `◆ ${label} on` : `${label} off`) + silenced;
  return { name, told, since: on ? since(state.wanted_since) : '', bad, silence: name === 'tone' && on && !silenced };
}

// What the lane has of them, as lines to show; nothing while the lane is out of contact.
function lines({ state, stale }, since) {
  if (!state || stale) return [];
  return [
    state.arm && arm(state.arm, since),
    state.sign && sign(state.sign, since),
    state.beacon && alarm('beacon', 'Beacon', state.beacon, since),
    state.tone && alarm('tone', 'Tone', state.tone, since),
  ].filter(Boolean);
}

export function updateActuators(view, silence) {
  const since = moment => (moment ? span(view.since(moment)) : '');
  list(
    $('actuators'),
    lines(view, since),
    line => line.name,
    line =>
      el(
        'li',
        { 'data-testid': `actuator-${line.name}` },
        el('span'),
        el('span', { class: 'dim' }),
        el('button', { class: 'plain', 'data-testid': `silence-${line.name}`, onclick: silence }, 'Silence'),
      ),
    (node, line) => {
      text(node.children[0], line.told);
      text(node.children[1], line.since);
      attribute(node, 'data-bad', String(line.bad));
      show(node.children[2], Boolean(line.silence));
    },
  );
}
