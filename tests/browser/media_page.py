"""A page that plays one WHEP stream and reads the number painted into every picture, and the browser that shows it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from playwright.async_api import Page, async_playwright

CHROMIUM = "/usr/bin/chromium"
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# `seen` collects [number or null, milliseconds since 1970, brightness of a picture row] of every picture shown.
_PAGE = """<!doctype html><meta charset="utf-8"><title>lane</title><link rel="icon" href="data:,">
<video id="video" muted autoplay playsinline></video>
<script>
const video = document.getElementById('video');
const canvas = new OffscreenCanvas(640, 2);
const context = canvas.getContext('2d', {willReadFrequently: true});
const seen = [];
let clicked = 0, first = null, peer = null;
function shown() {
  const at = performance.timeOrigin + performance.now();
  video.requestVideoFrameCallback(shown);
  context.drawImage(video, 0, 347, 640, 1, 0, 0, 640, 1);
  context.drawImage(video, 0, 285, 640, 1, 0, 1, 640, 1);
  const bars = context.getImageData(0, 0, 640, 1).data, road = context.getImageData(0, 1, 640, 1).data;
  const cell = i => bars[4 * (32 * i + 16)];
  let number = cell(0) > 150 && cell(1) < 100 ? 0 : null;
  for (let i = 0; number !== null && i < 16; i++) if (cell(i + 2) > 125) number |= 1 << i;
  if (first === null && number === null) return;  // announced by Chromium, but still drawn empty
  if (first === null) first = performance.now() - clicked;
  let light = 0;
  for (let i = 0; i < road.length; i += 4) light += road[i] + road[i + 1] + road[i + 2];
  seen.push([number, at, light / 640 / 3]);
}
async function play(url, token) {
  clicked = performance.now();
  peer = new RTCPeerConnection();
  peer.addTransceiver('video', {direction: 'recvonly'});
  peer.ontrack = event => {
    video.srcObject = new MediaStream([event.track]);
    video.requestVideoFrameCallback(shown);
  };
  await peer.setLocalDescription(await peer.createOffer());
  const headers = {'Content-Type': 'application/sdp', 'Authorization': 'Bearer ' + token};
  const answer = await fetch(url, {method: 'POST', headers, body: peer.localDescription.sdp});
  if (answer.status !== 201) return answer.status;
  await peer.setRemoteDescription({type: 'answer', sdp: await answer.text()});
  return [answer.status, answer.headers.get('Location')];
}
async function figures() {
  for (const s of (await peer.getStats()).values())
    if (s.type === 'inbound-rtp') return {decoded: s.framesDecoded, freezes: s.freezeCount, width: s.frameWidth};
}
</script>
"""


@asynccontextmanager
async def page_server() -> AsyncIterator[str]:
    """The page's own origin, another one than the media process's."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=_PAGE, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def browser_page(profile: Path) -> AsyncIterator[Page]:
    """A page of a real Chromium with a fresh profile."""
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, headless=True, args=_ARGUMENTS
        )
        try:
            yield await context.new_page()
        finally:
            await context.close()
