"""From tag reads to sightings: classes, tokens, sealing and smoothing. The last place that sees identities in clear.

A sighting is all reads of one transponder by one antenna without a pause longer than `lost_s`. Its peak is the time of
the strongest median of the last five reads, so that a single multipath spike does not move it.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from drivers.api import Secret, Stamp, TagRead, token_of
from drivers.rfid.epc_codec import EpcDescription, describe_epc
from edge_agent.model.identity import ClearIdentity, IdentityClaim, IdentityKind, Sighting
from edge_agent.model.inputs import SightingChanged

T = TypeVar("T")
_Where = tuple[str, int, Secret]
"""Device, antenna and what was read there: a token is worked out once, not at every read."""

_GEN2 = "gen2"
_OPAQUE = "opaque"
_MEDIAN_OF = 5
_LEAST = 3
"""Fewer reads are no median: until then the level is that of what was read so far, and a first spike does not stay."""
_REPORT_EVERY_NS = 250_000_000
_COUNT_EVERY_NS = 1_000_000_000
MAX_TRACKED = 4096
"""Distinct (antenna, transponder) pairs followed at once: a pallet of item tags must not exhaust memory."""


@dataclass(frozen=True, slots=True)
class TagClass:
    """A configured card or tag class: EPCs whose leading bits equal `prefix` (under `mask` if given) are of `kind`."""

    kind: IdentityKind
    prefix: bytes
    mask: bytes = b""

    def matches(self, epc: bytes) -> bool:
        """Whether the EPC belongs to this class."""
        head = epc[: len(self.prefix)]
        if len(head) < len(self.prefix):
            return False
        if not self.mask:
            return head == self.prefix
        return all((h ^ p) & m == 0 for h, p, m in zip(head, self.prefix, self.mask, strict=False))


@dataclass(slots=True)
class _Track:
    """A sighting in the making. It grows at every read, so the frozen record is made only when it is told."""

    sighting_id: str
    claim: IdentityClaim
    first: Stamp
    peak: Stamp
    last: Stamp
    rssi_peak_cdbm: int
    tid: Secret | None = None
    levels_cdbm: int = 0
    heard: int = 0
    reads: int = 0
    recent: deque[int] = field(default_factory=lambda: deque(maxlen=_MEDIAN_OF))
    reported_ns: int = 0
    reported_reads: int = 0
    reported_peak: Stamp | None = None


def _is_time(track: _Track, now: Stamp) -> bool:
    """A new peak may move a sighting to another vehicle; more reads at the same peak only count up."""
    pause_ns = _REPORT_EVERY_NS if track.peak is not track.reported_peak else _COUNT_EVERY_NS
    return now.mono_ns - track.reported_ns >= pause_ns


def _median(levels: deque[int]) -> int:
    """Of an even number of levels the mean of the middle two, without its fraction."""
    ordered, half = sorted(levels), len(levels) // 2
    return ordered[half] if len(levels) % 2 else int((ordered[half - 1] + ordered[half]) / 2)


class SightingTracker:
    """Turns `TagRead` into `SightingChanged`, holding clear values only while a sighting is live.

    `seal(secret, token)` gives the HPKE ciphertext; `new_id(stamp)` a UUIDv7 string. `dropped` counts reads refused
    because `MAX_TRACKED` transponders are being followed already.
    """

    def __init__(
        self,
        *,
        classes: Sequence[TagClass],
        site_key: bytes,
        seal: Callable[[Secret, str], bytes],
        sealed_key_id: str,
        new_id: Callable[[Stamp], str],
        lost_s: float,
        early_reads: int,
    ) -> None:
        self._classes = tuple(classes)
        self._key = site_key
        self._seal = seal
        self._sealed_key_id = sealed_key_id
        self._new_id = new_id
        self._lost_ns = int(lost_s * 1e9)
        self._early_reads = early_reads
        self._tracks: dict[_Where, _Track] = {}
        self._sealed: OrderedDict[str, bytes] = OrderedDict()
        self._clear: OrderedDict[str, ClearIdentity] = OrderedDict()
        self.dropped = 0

    def read(self, read: TagRead) -> SightingChanged | None:
        """Take one read; returns the change worth telling the core, if any."""
        where = (read.device, read.antenna, read.epc)
        track = self._tracks.get(where)
        if track is None:
            if len(self._tracks) >= MAX_TRACKED:
                self.dropped += 1
                return None
            track = self._tracks[where] = self._open(read, token_of(read.epc, self._key))
        self._grow(track, read)
        if self._learn_chip(track, read.tid) or self._worth_reporting(track, read.stamp):
            return self._report(where, track, read.stamp)
        return None

    def sweep(self, now: Stamp) -> Iterator[SightingChanged]:
        """Close sightings that have been silent for `lost_s`, and report growth that was held back."""
        for where, track in tuple(self._tracks.items()):
            if now.mono_ns - track.last.mono_ns > self._lost_ns:
                del self._tracks[where]
                yield self._report(where, track, now, closed=True)
            elif track.reads > track.reported_reads and _is_time(track, now):
                yield self._report(where, track, now)

    @property
    def tracked(self) -> int:
        """How many (antenna, transponder) pairs are being followed."""
        return len(self._tracks)

    def clear_value(self, token: str) -> ClearIdentity | None:
        """What stands behind a token, for the officer's door; None once it is forgotten."""
        return self._clear.get(token)

    def forget(self, tokens: Sequence[str]) -> None:
        """Forget clear values: their passage is sealed."""
        for token in tokens:
            self._clear.pop(token, None)
            self._sealed.pop(token, None)

    def _open(self, read: TagRead, token: str) -> _Track:
        kind = self._kind(read.epc.reveal())
        described = _describe(kind, read)
        claim = IdentityClaim(
            kind=kind,
            token=token,
            sealed=self._sealed_value(read.epc, token),
            sealed_key_id=self._sealed_key_id,
            source=f"{read.device}/{read.antenna}",
            scheme=described.scheme,
            filter_value=described.filter_value,
        )
        self._remember(self._clear, token, ClearIdentity(read.epc, described.uri))
        return _Track(
            sighting_id=self._new_id(read.stamp),
            claim=claim,
            first=read.stamp,
            peak=read.stamp,
            last=read.stamp,
            rssi_peak_cdbm=read.rssi_cdbm,
        )

    @staticmethod
    def _grow(track: _Track, read: TagRead) -> None:
        track.recent.append(read.rssi_cdbm)
        smoothed = _median(track.recent)
        if smoothed > track.rssi_peak_cdbm or len(track.recent) <= _LEAST:
            track.rssi_peak_cdbm = smoothed
            track.peak = read.stamp
        track.reads += max(1, read.reads)
        track.levels_cdbm += read.rssi_cdbm
        track.heard += 1
        track.last = read.stamp

    def _learn_chip(self, track: _Track, tid: Secret | None) -> bool:
        """Whether the read told a chip number that this sighting did not have: the latest one counts, so that the core
        sees both when two tags of one number are there."""
        if tid is None or tid == track.tid:
            return False
        first = track.tid is None and not track.reported_reads
        track.tid = tid
        track.claim = replace(track.claim, tid_token=token_of(tid, self._key))
        return not first

    def _worth_reporting(self, track: _Track, now: Stamp) -> bool:
        seen, told = track.reads, track.reported_reads
        if told == 0 or (told < self._early_reads <= seen):
            return True
        return _is_time(track, now)

    @staticmethod
    def _report(where: _Where, track: _Track, now: Stamp, *, closed: bool = False) -> SightingChanged:
        track.reported_ns = now.mono_ns
        track.reported_reads = track.reads
        track.reported_peak = track.peak
        device, antenna, _ = where
        sighting = Sighting(
            track.sighting_id,
            track.claim,
            device,
            antenna,
            track.reads,
            track.rssi_peak_cdbm,
            track.first,
            track.peak,
            track.last,
            closed,
            track.levels_cdbm // track.heard,
        )
        return SightingChanged(now, sighting)

    def _kind(self, epc: bytes) -> IdentityKind:
        return next((c.kind for c in self._classes if c.matches(epc)), IdentityKind.OTHER_TAG)

    def _sealed_value(self, epc: Secret, token: str) -> bytes:
        known = self._sealed.get(token)
        if known is None:
            known = self._seal(epc, token)
            self._remember(self._sealed, token, known)
        return known

    @staticmethod
    def _remember(store: OrderedDict[str, T], token: str, value: T) -> None:
        store[token] = value
        store.move_to_end(token)
        while len(store) > MAX_TRACKED:
            store.popitem(last=False)


def _describe(kind: IdentityKind, read: TagRead) -> EpcDescription:
    """How a transponder's number is coded. The number on a traveller's card is a pointer into central's system and is
    never looked into, whatever it looks like; tags of other air protocols have no EPC schemes."""
    if kind is IdentityKind.DRIVER_CARD:
        return EpcDescription(_OPAQUE)
    if read.protocol != _GEN2:
        return EpcDescription(read.protocol)
    return describe_epc(read.pc, read.epc.reveal())
