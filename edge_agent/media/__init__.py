"""The media process: lane cameras to WebRTC viewers, without decoding.

In: RTSP cameras (`drivers.camera`). Out: WHEP sessions, `/cameras`, `/metrics`, camera-up state to a callback.
Invariants: a stuck viewer or a dead camera never holds up another; queues and viewers are bounded; nothing here can
command a signal. Read first: `app.py`.
"""
