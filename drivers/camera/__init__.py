"""Cameras: RTSP in, whole H.264 access units out, shared among viewers without decoding.

In: an RTSP camera's H.264 stream over TCP. Out: `CameraFrame`s, and a `Fanout` that serves many viewers from them.
Invariants: every key picture carries SPS and PPS; after a loss nothing is shown until the next key picture; every queue
is bounded. Read first: `rtsp_camera.py`.
"""
