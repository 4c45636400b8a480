"""Records a bench's session as the agent would, and compares what it saw with its replay."""

from collections.abc import Iterable
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import BaseModel

from drivers import registry
from drivers.api import Clock, Observation, Source
from drivers.link.capture_codec import Capture, CaptureSealer, Header, key_id_of
from drivers.link.observation_codec import clear, encode_observation
from drivers.link.replay import SessionReplay, replay
from drivers.link.tape import Tape, TapedSource, TapedSplice

KEY = X25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()


class MakeTaped(Protocol):
    """Makes a bench's driver with this clock and splice."""

    def __call__(self, clock: Clock, splice: TapedSplice) -> Source: ...


class Recorder:
    """One capture, in memory."""

    def __init__(self, clock: Clock, kind: str, settings: BaseModel) -> None:
        start = clock.stamp()
        self._header = Header(
            "capture-1", "ports/0000/lanes/1", "reader-1", kind, "", "", "test", start.utc_ns, start.mono_ns,
            key_id_of(PUBLIC),
        )  # fmt: skip
        self._sealer = CaptureSealer(self._header, PUBLIC, bytes(32))
        self.written = bytearray(self._sealer.opening)
        self.tape = Tape(clock, start, lambda chunk: self.written.extend(self._sealer.chunk(chunk)))
        self._made_from = registry.describe(kind, "reader-1", settings)

    def session(self, make: MakeTaped) -> Source:
        """The driver `make` makes, recorded."""
        return TapedSource(make(self.tape, TapedSplice(self.tape)), self.tape, self._made_from)

    def finished(self) -> bytes:
        """The capture file."""
        self.tape.end()
        return bytes(self.written) + self._sealer.chunk(b"", last=True)


def replayed(capture: Capture) -> tuple[SessionReplay, ...]:
    """The replay by this version's drivers."""
    return replay(capture, registry.remake)


def as_bytes(observations: Iterable[Observation]) -> list[bytes]:
    """Serialised, identities in clear."""
    return [encode_observation(observation, clear) for observation in observations]


def assert_same(capture: Capture, seen: list[Observation], ended: str = "") -> None:
    """One session, replayed to the same observations byte for byte, and to the same end."""
    (session,) = replayed(capture)
    assert session.divergence is None, session.divergence
    assert as_bytes(session.observations) == as_bytes(seen)
    assert session.ended == ended
