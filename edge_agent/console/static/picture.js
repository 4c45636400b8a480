// The lane's live picture over WHEP. It comes back by itself and never shows an old picture as a new one.

import { $, ageMs, attribute, el, list, moment, show, text } from './dom.js';

const OLD_MS = 2000;
const DEAD_MS = 5000;
const PAUSES_MS = [500, 1000, 2000, 4000];

// A session left open takes a place from other viewers until its peer is found to be gone.
function end(session, headers) {
  if (session) fetch(session, { method: 'DELETE', headers, keepalive: true }).catch(() => {});
}

export class Picture {
  constructor() {
    this.video = $('video');
    this.turn = 0;
    this.views = [];
    this.choice = null;
    this.frameAt = null;
    this.reason = '';
    addEventListener('pagehide', () => this.leave());
  }

  // Plays a lane's pictures until another is asked for.
  watch(url, token) {
    this.stop();
    this.url = url;
    this.token = token;
    this.views = [];
    this.choice = null;
    this.reason = url ? 'connecting' : 'no camera is configured for this lane';
    if (url) this.run(this.turn);
  }

  next() {
    if (this.views.length < 2) return;
    const at = this.views.findIndex(view => view.view === this.choice);
    this.choose(this.views[(at + 1) % this.views.length].view);
  }

  choose(view) {
    this.stop();
    this.choice = view;
    this.reason = 'connecting';
    this.run(this.turn);
  }

  stop() {
    this.turn += 1;
    this.leave();
    this.frameAt = null;
    this.video.srcObject = null;
  }

  leave() {
    this.peer?.close();
    this.peer = null;
    end(this.session, this.headers());
    this.session = null;
  }

  headers(extra = {}) {
    return this.token ? { ...extra, Authorization: `Bearer ${this.token}` } : extra;
  }

  async run(turn) {
    for (let failures = 0; turn === this.turn; failures += 1) {
      const began = performance.now();
      try {
        await this.play(turn);
      } catch (error) {
        if (turn === this.turn) this.reason = error.message;
      }
      if (turn !== this.turn) return;
      this.leave();
      if (this.frameAt !== null && this.frameAt[0] > began) failures = 0;
      await new Promise(resolve => setTimeout(resolve, PAUSES_MS[Math.min(failures, PAUSES_MS.length - 1)]));
    }
  }

  async play(turn) {
    const { url } = this;
    const headers = this.headers();
    const cameras = await this.call(`${url}/cameras`, {});
    const views = await cameras.json();
    if (turn !== this.turn) return;
    this.views = views;
    if (!views.length) throw new Error('the lane has no camera');
    this.choice = views.some(view => view.view === this.choice) ? this.choice : views[0].view;
    const peer = (this.peer = new RTCPeerConnection());
    peer.addTransceiver('video', { direction: 'recvonly' });
    peer.ontrack = event => {
      if ('jitterBufferTarget' in event.receiver) event.receiver.jitterBufferTarget = 0;
      this.video.srcObject = new MediaStream([event.track]);
      const shown = () => {
        if (turn !== this.turn || this.peer !== peer) return;
        this.frameAt = moment();
        this.video.requestVideoFrameCallback(shown);
      };
      this.video.requestVideoFrameCallback(shown);
    };
    await peer.setLocalDescription(await peer.createOffer());
    const whep = `${url}/whep/${encodeURIComponent(this.choice)}`;
    const answer = await this.call(whep, {
      method: 'POST',
      headers: { 'Content-Type': 'application/sdp' },
      body: peer.localDescription.sdp,
    });
    const location = answer.headers.get('Location');
    const session = location && new URL(location, url).href;
    if (turn !== this.turn) return end(session, headers); // another picture was asked for meanwhile
    this.session = session;
    await peer.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
    await this.ended(peer, turn);
  }

  async call(url, options) {
    const request = { ...options, headers: this.headers(options.headers), signal: AbortSignal.timeout(5000) };
    const answer = await fetch(url, request).catch(() => {
      throw new Error('the picture service cannot be reached');
    });
    if (answer.ok) return answer;
    const problem = await answer.json().catch(() => ({}));
    throw new Error(problem.detail ?? `the picture service answers ${answer.status}`);
  }

  async ended(peer, turn) {
    const began = performance.now();
    while (turn === this.turn) {
      await new Promise(resolve => setTimeout(resolve, 250));
      const last = Math.max(began, this.frameAt?.[0] ?? 0);
      if (['failed', 'closed'].includes(peer.connectionState)) throw new Error('the connection was lost');
      if (performance.now() - last > DEAD_MS) throw new Error('no picture comes');
    }
  }

  update() {
    const age = this.frameAt === null ? Infinity : ageMs(this.frameAt);
    const old = age > OLD_MS;
    let words = '';
    if (this.frameAt === null) words = this.reason === 'connecting' ? 'Connecting to the camera…' : `NO PICTURE — ${this.reason}`;
    else if (old) words = `NO PICTURE SINCE ${Math.floor(age / 1000)} s${this.reason && this.reason !== 'connecting' ? ` — ${this.reason}` : ''}`;
    text($('picture-status'), words);
    show($('picture-status'), words !== '');
    attribute($('picture'), 'data-live', String(!old));
    list(
      $('views'),
      this.views.length > 1 ? this.views : [],
      view => view.view,
      view => el('button', { class: 'plain', onclick: () => this.choose(view.view) }, view.view),
      (node, view) => attribute(node, 'aria-pressed', String(view.view === this.choice)),
    );
  }
}
