"""Judges received Modbus TCP bytes before anybody believes them: header, transaction id, unit. Pure.

Source: Modbus Messaging on TCP/IP Implementation Guide 1.0b. The transaction id is what makes a late reply harmless on
TCP, so id 0 (never sent here) and ids not yet used are faults, not answers.
"""

from dataclasses import dataclass

_HEADER = 7
_LONGEST = 254
_TEXT_JUDGED = 24
_SERVERS = {b"HTTP": "an HTTP server", b"SSH-": "an SSH server", b"RTSP": "an RTSP server"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """`late`: whole frames that answer an older request. `fault`: why the bytes are no answer, empty if nothing is
    wrong. `lost_framing`: where the next frame begins is unknown, only a new connection helps. `hint`: what to check.
    """

    late: int = 0
    fault: str = ""
    lost_framing: bool = False
    hint: str = ""


def judge(data: bytes, transaction: int, unit: int) -> Verdict:
    """Judge everything received and not yet used. `transaction` is the id of the latest request; ids above it were
    never sent."""
    late, offset = 0, 0
    while len(data) - offset >= _HEADER:
        if data[offset + 2] or data[offset + 3]:
            return _not_modbus(data[offset:], late)
        length = int.from_bytes(data[offset + 4 : offset + 6], "big")
        if not 3 <= length <= _LONGEST:
            return Verdict(late, f"frame length {length}", lost_framing=True)
        if len(data) - offset < 6 + length:
            break
        got = int.from_bytes(data[offset : offset + 2], "big")
        if got == 0 or got > transaction:
            return Verdict(late, f"transaction {got} answers {transaction}")
        if got == transaction and data[offset + 6] != unit:
            return Verdict(late, f"unit {data[offset + 6]} answers unit {unit}", hint="check unit_id")
        late += got != transaction
        offset += 6 + length
    return Verdict(late) if offset or not _is_text(data) else _not_modbus(data, late)


def _not_modbus(data: bytes, late: int) -> Verdict:
    if _is_text(data):
        # By its first letters only: what talks there may be a reader, and the rest somebody's tag.
        kind = next((name for start, name in _SERVERS.items() if data.startswith(start)), "a text protocol")
        return Verdict(late, f"{kind} answers", True, "another device or service is on this port")
    return Verdict(late, f"not a Modbus TCP header: {data[:_HEADER].hex()}", True, "check host and port")


def _is_text(data: bytes) -> bool:
    head = data[:_TEXT_JUDGED]
    return len(head) >= 4 and all(32 <= byte < 127 or byte in b"\r\n\t" for byte in head)
