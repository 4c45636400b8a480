// The stream of one lane's states, opened anew for ever; keeps count of how old what it has is.

import { ageMs, moment } from './dom.js';

const SILENT_MS = 5000;
const AGAIN_MS = 1000;

export class Stream {
  // `on` gets ('state' | 'link' | 'lanes' | 'signed-out', data).
  constructor(index, tiles, on) {
    this.url = `/api/lanes/${index}/events${tiles ? '?tiles=1' : ''}`;
    this.on = on;
    this.closed = false;
    this.open();
    this.timer = setInterval(() => this.check(), AGAIN_MS);
  }

  open() {
    this.heard = performance.now();
    this.source?.close();
    this.source = new EventSource(this.url);
    for (const kind of ['state', 'link', 'lanes'])
      this.source.addEventListener(kind, event => {
        this.heard = performance.now();
        this.on(kind, JSON.parse(event.data));
      });
  }

  check() {
    const silent = performance.now() - this.heard > SILENT_MS;
    if (this.source.readyState !== EventSource.CLOSED && !silent) return;
    fetch('/api/lanes', { signal: AbortSignal.timeout(AGAIN_MS) }).then(
      answer => {
        if (this.closed) return;
        if (answer.status === 401) this.on('signed-out');
        else this.open();
      },
      () => {},
    );
  }

  close() {
    this.closed = true;
    clearInterval(this.timer);
    this.source.close();
  }
}

export const STALE_S = 2.5;
const NONE = 'ASPECT_UNSPECIFIED';
const UNCONFIRMED_MS = 1000; // a change of aspect is confirmed sooner

// What is known of the lane shown, and how old it is.
export class View {
  constructor(lane) {
    this.lane = lane;
    this.state = null;
    this.stateAt = null; // the moment at which the lane said it
    this.connected = false;
    this.unconfirmedAt = null; // performance.now() since when no state had a confirmed aspect
  }

  take(kind, data) {
    if (kind === 'state') {
      this.state = data; // how old it is, the link right behind it tells
      const confirmed = data.signal?.confirmed ?? NONE;
      this.unconfirmedAt = confirmed !== NONE ? null : (this.unconfirmedAt ?? performance.now());
    } else if (kind === 'link') {
      this.connected = data.connected;
      if (data.state_age_s !== null) this.stateAt = moment(data.state_age_s * 1000);
    }
  }

  get age() {
    return this.stateAt === null ? Infinity : ageMs(this.stateAt) / 1000;
  }

  get stale() {
    const stale = !this.connected || this.age > STALE_S;
    if (!stale) this.lostAt = null;
    else this.lostAt ??= Date.now() - this.age * 1000;
    return stale;
  }

  get unconfirmed() {
    return this.unconfirmedAt !== null && performance.now() - this.unconfirmedAt > UNCONFIRMED_MS;
  }

  // Whether any zone input is known: without, where vehicles are and how fast is memory.
  get sees() {
    return (this.state?.zones ?? []).some(zone => zone.level === 'LEVEL_FREE' || zone.level === 'LEVEL_OCCUPIED');
  }

  // Seconds since a Moment, by the lane's own clock.
  since(then) {
    if (!then || !this.state?.at) return NaN;
    return (Number(this.state.at.mono_ns) - Number(then.mono_ns)) / 1e9 + this.age;
  }

  conveyance(id) {
    return this.state?.conveyances?.find(each => each.conveyance_id === id) ?? null;
  }

  // Seconds a decision still lives, by the lane's own clock.
  left(decision) {
    const ends = Number(decision.echoed_stamp_mono_ns) + decision.ttl_ms * 1e6;
    return (ends - Number(this.state.at.mono_ns)) / 1e9 - this.age;
  }
}
