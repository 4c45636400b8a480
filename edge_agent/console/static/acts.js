// Acts on their way to the lane, and what is different between what a person saw and what is there now.

import * as words from './words.js';

const WAIT_MS = 8000;

// crypto.randomUUID exists only on https and localhost.
function requestId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map(byte => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

// Always ends in {ok, code, message, ms}: an act that went astray is told, never thrown.
export async function put(lane, act, body) {
  const began = performance.now();
  const done = answer => ({ ...answer, ms: Math.round(performance.now() - began) });
  try {
    const answer = await fetch(`/api/lanes/${lane}/acts/${act}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ ...body, request_id: requestId() }),
      signal: AbortSignal.timeout(WAIT_MS),
    });
    return done(await answer.json());
  } catch (error) {
    const late = error.name === 'TimeoutError';
    const message = late ? 'no answer: whether it was done is not known' : 'the console could not be reached';
    return done({ ok: false, code: 'UNREACHABLE', message, known: !late });
  }
}

const decision = each =>
  each.decision
    ? `${words.verdict(each.decision.verdict)} by ${words.authority(each.decision.authority)}${each.decision_live ? '' : ' (no longer live)'}`
    : 'none';

const legs = each =>
  each.legs.map(leg => `${words.leg(leg.leg)} ${leg.complete ? 'complete' : 'missing'}, ${leg.claims}`).join('; ');

const SEEN = [
  ['Phase', each => words.phase(each.phase)],
  ['Decision', decision],
  ['Identity', legs],
  ['Place in the queue', each => (each.order ? String(each.order) : 'past the line')],
  ['Remarks', each => each.flags.map(words.flag).join(', ') || 'none'],
  ['Hold', each => (each.hold ? `held by ${each.hold.officer}` : 'none')],
];

// What of a conveyance is no longer as it was seen, as [what, before, now].
export function changes(before, now) {
  if (!now) return [['Conveyance', 'in the lane', 'no longer in the lane']];
  const found = SEEN.map(([what, of]) => [what, of(before), of(now)]).filter(([, then, at]) => then !== at);
  if (!found.length && before.identity_digest !== now.identity_digest) return [['Identity', 'as shown', 'other values']];
  return found;
}
