// Who controls the lane: one officer at a time. Everybody else watches, and may hold.

import { $, attribute, clock, show, text } from './dom.js';

const BEAT_MS = 1000;
const KNOWN_S = 2; // a lane whose state is older is not seen: its control is not kept

const HOW = {
  CHANGE_TAKEN_OVER: 'took control',
  CHANGE_LOST: 'your page sent no sign of life',
  CHANGE_RESTARTED: 'the lane’s agent was restarted',
};

// How much a mode lets pass: nobody, standing vehicles, rolling ones. To more than now only who controls the lane may go.
export const passes = mode => ({ LANE_MODE_DEGRADED: 1, LANE_MODE_ATTENDED: 1, LANE_MODE_REMOTE: 2 })[mode] ?? 0;

export const REASONS = ['Shift change', 'The officer does not answer', 'Supervisor’s order', 'Help with one vehicle'];

// 'mine' | 'other' | 'nobody'
export function holder(control, me) {
  if (!control?.officer) return 'nobody';
  return control.officer === me ? 'mine' : 'other';
}

export class Control {
  constructor(me) {
    this.me = me;
    this.beatAt = -Infinity;
    this.had = new Map(); // lane index -> since when (mono_ns) this officer has had control of it
  }

  of(view) {
    return holder(view.state?.control, this.me);
  }

  // Why an act that needs control cannot be sent now, or ''.
  against(view) {
    const whose = this.of(view);
    if (whose === 'mine') return '';
    const who = whose === 'nobody' ? 'nobody controls this lane: take control' : `${view.state.control.officer} controls this lane: take over`;
    return `✗ ${who} with T`;
  }

  update(view) {
    const chip = $('control');
    const control = view.state?.control;
    const whose = this.of(view);
    const left = whose === 'mine' ? '✓ YOU CONTROL' : whose === 'other' ? `✗ ${control.officer} CONTROLS · T take over` : '✗ NOBODY CONTROLS · T take';
    text(chip, view.state ? left : '');
    attribute(chip, 'data-whose', whose);
    attribute(chip, 'title', control?.since ? `since ${clock(control.since.time)}${control.reason ? `: ${control.reason}` : ''}` : '');
    attribute(document.body, 'data-control', whose);
    chip.disabled = view.stale;
    this.tellDisplaced(view, whose, control);
  }

  // Whoever had control on this page and has not given it back is told who has it now, since when and why.
  tellDisplaced(view, whose, control) {
    const { index } = view.lane;
    if (!view.state) return show($('displaced'), false);
    if (whose === 'mine') this.had.set(index, control.since?.mono_ns);
    const lost = this.had.has(index) && whose !== 'mine' && control.change !== 'CHANGE_GIVEN_BACK';
    if (whose !== 'mine' && !lost) this.had.delete(index);
    show($('displaced'), lost);
    if (!lost) return;
    const who = whose === 'other' ? `${control.officer} CONTROLS THIS LANE` : 'YOU DO NOT CONTROL THIS LANE ANY MORE';
    text($('displaced-words'), `${who} SINCE ${clock(control.since?.time)}`);
    const how = [HOW[control.change] ?? '', control.reason].filter(Boolean).join(': ');
    text($('displaced-small'), `${how}. You may still HOLD. T takes it back; Esc: I have seen it.`);
  }

  // The officer has seen it. Returns whether there was anything to see.
  seen(view) {
    return this.had.delete(view.lane.index);
  }

  // At most once a second, and only when something has just come from the console: a page that sees nothing of a lane
  // keeps no control of it. Timers would not do: browsers slow them down where nobody looks.
  beat(view, tiles, stale) {
    const now = performance.now();
    if (now - this.beatAt < BEAT_MS * 0.9) return;
    const lanes = tiles.filter(tile => tile.controlled_by === this.me && tile.connected && tile.state_age_s < KNOWN_S).map(tile => tile.index);
    if (!stale && this.of(view) === 'mine' && !lanes.includes(view.lane.index)) lanes.push(view.lane.index);
    if (!lanes.length) return;
    this.beatAt = now;
    fetch('/api/heartbeat', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ lanes }),
      signal: AbortSignal.timeout(BEAT_MS * 2),
    }).catch(() => {}); // what is lost by it, the next state says
  }
}
