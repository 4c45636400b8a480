"""The requests an LLRP reader understands: what each does to the module, and what it is answered."""

from functools import partial
from struct import pack, unpack

from hil.devices.llrp_module import (
    A_RANGE,
    ACTIVE,
    CHANNELS,
    DISABLED,
    INACTIVE,
    M_FIELD,
    M_UNKNOWN_PARAMETER,
    M_UNSUPPORTED,
    P_FIELD,
    AccessSpec,
    Handler,
    Module,
    RefusedError,
    RoSpec,
)
from hil.devices.llrp_wire import IMPINJ, Content, children, param, status, vendor_param, walk

POWERS_CDBM = tuple(1000 + 25 * at for at in range(81))
HOPS_KHZ = tuple(902_750 + 500 * at for at in range(CHANNELS))
MODES = (0, 1, 2, 3, 4, 1000, 1002, 1003)
_CONFIG_PARAMETERS = frozenset((219, 220, 221, 222, 225, 226, 237, 238, 239, 244, 1023))
_FIRMWARE = b"virtual 1.0"
_ALL = 0


def _success() -> list[bytes]:
    return [status()]


def _capabilities(module: Module, body: bytes) -> list[bytes]:
    wanted = body[0]
    if wanted > 4:
        raise RefusedError(M_FIELD, "requested data")
    parts = {1: _general(module), 2: _llrp(), 3: _regulatory(), 4: param(327, b"\x00", pack(">H", 2))}
    return [status(), *(part for kind, part in parts.items() if wanted in (_ALL, kind))]


def _general(module: Module) -> bytes:
    ports = sorted(module.connected)
    return param(
        137,
        pack(">HHII", len(ports), 0x4000, module.maker, 2001002),
        pack(">H", len(_FIRMWARE)),
        _FIRMWARE,
        param(139, pack(">HH", 1, 0)),
        param(141, pack(">HH", 4, 4)),
        *(param(140, pack(">HHB", port, 1, 1)) for port in ports),
    )


def _llrp() -> bytes:
    # Can report a filling buffer, can hold events and reports.
    return param(142, pack(">BBHIIIII", 0x48, 1, 0, 4, 4, 4, 8, 8))


def _regulatory() -> bytes:
    levels = (param(145, pack(">Hh", at, cdbm)) for at, cdbm in enumerate(POWERS_CDBM, 1))
    hops = param(147, pack(">BBH", 1, 0, len(HOPS_KHZ)), *(pack(">I", khz) for khz in HOPS_KHZ))
    modes = (param(329, pack(">IBBBBIIIII", mode, 0x80, 2, 0, 2, 274_000, 2000, 6250, 25_000, 0)) for mode in MODES)
    band = param(144, *levels, param(146, b"\x80", hops), param(328, *modes))
    return param(143, pack(">HH", 840, 1), band)


def _get_config(module: Module, body: bytes) -> list[bytes]:
    _, wanted, _, _ = unpack(">HBHH", body[:7])
    session = module.session
    events = (param(245, pack(">HB", kind, 0x80 if kind in session.events else 0)) for kind in range(9))
    parts = (
        (1, param(218, b"\x00", pack(">H", len(module.serial)), module.serial)),
        *((2, param(221, pack(">BHh", 0x80 if on else 0, port, 0))) for port, on in module.connected.items()),
        (4, param(244, *events)),
        (8, param(220, pack(">BI", 1 if session.keepalive_ms else 0, session.keepalive_ms))),
        *((9, param(225, pack(">HBB", port, 0x80, 0))) for port in range(1, 5)),
        (10, param(226, b"\x80" if session.hold else b"\x00")),
    )
    answer = [status(), *(part for kind, part in parts if wanted in (_ALL, kind))]
    for kind, inner in walk(body[7:]):
        if kind == 1023 and unpack(">II", inner[:8]) == (IMPINJ, 21) and session.extensions:
            answer.append(vendor_param(37, pack(">h", module.temperature_c)))
    return answer


def _set_config(module: Module, body: bytes) -> list[bytes]:
    session = module.session
    found = list(walk(body[1:]))
    unknown = [kind for kind, _ in found if kind not in _CONFIG_PARAMETERS]
    if unknown:
        raise RefusedError(M_UNKNOWN_PARAMETER, f"parameter {unknown[0]}")
    if body[0] & 0x80:
        session.events, session.keepalive_ms, session.hold = set(), 0, False
    for kind, inner in found:
        if kind == 244:
            for _, entry in walk(inner):
                event, on = unpack(">HB", entry)
                (session.events.add if on else session.events.discard)(event)
        elif kind == 220:
            trigger, period = unpack(">BI", inner)
            session.keepalive_ms = period if trigger == 1 else 0
        elif kind == 226:
            session.hold = bool(inner[0] & 0x80)
    module.publish("configured", keepalive_ms=session.keepalive_ms)
    return _success()


def _add_rospec(module: Module, body: bytes) -> list[bytes]:
    inner = children(body).get(177)
    if inner is None:
        raise RefusedError(M_FIELD, "no ROSpec")
    spec = parse_rospec(module, inner)
    if spec.number in module.rospecs or not spec.number:
        raise RefusedError(P_FIELD, f"ROSpec {spec.number} exists, or is zero")
    module.rospecs[spec.number] = spec
    return _success()


def parse_rospec(module: Module, inner: bytes) -> RoSpec:
    """A ROSpec as the reader understands it. RefusedError for antennas, powers and modes it does not have."""
    number, _, state = unpack(">IBB", inner[:6])
    if state != DISABLED:
        raise RefusedError(P_FIELD, "a new ROSpec is disabled")
    found = children(inner[6:])
    ports: set[int] = set()
    for kind, part in walk(inner[6:]):
        if kind == 183:
            ports |= _antennas(module, part)
    trigger, every, content = 2, 1, Content()
    if 237 in found:
        trigger, every = unpack(">BH", found[237][:3])
        content = _content(found[237][3:])
    start = children(found[178])[179][0]
    return RoSpec(number, inner, start == 1, frozenset(ports), trigger, every, content)


def _antennas(module: Module, part: bytes) -> set[int]:
    count = unpack(">H", part[:2])[0]
    listed = unpack(f">{count}H", part[2 : 2 + 2 * count])
    if any(port not in module.connected for port in listed if port):
        raise RefusedError(A_RANGE, "antenna")
    for kind, spec in walk(part[2 + 2 * count :]):
        for inner_kind, antenna in walk(spec[3:]) if kind == 186 else ():
            if inner_kind == 222:
                _check_antenna(antenna)
    return set(module.connected) if 0 in listed else set(listed)


def _check_antenna(part: bytes) -> None:
    for kind, inner in walk(part[2:]):
        if kind == 224 and unpack(">HHH", inner)[2] > len(POWERS_CDBM):
            raise RefusedError(A_RANGE, "transmit power")
        if kind == 330:
            mode = children(inner[1:]).get(335)
            # Some clients send the mode's place in the table instead of its identifier.
            if mode is not None and unpack(">HH", mode)[0] not in MODES:
                raise RefusedError(A_RANGE, "RF mode")


def _content(part: bytes) -> Content:
    flags, memory = 0xFFC0, 0
    vendor: set[int] = set()
    for kind, inner in walk(part):
        if kind == 238:
            flags = unpack(">H", inner[:2])[0]
            memory = children(inner[2:]).get(348, b"\x00")[0]
        elif kind == 1023 and unpack(">II", inner[:8]) == (IMPINJ, 50):
            for _, choice in walk(inner[8:]):
                _, subtype, mode = unpack(">IIH", choice[:10])
                if mode:
                    vendor.add(subtype)
    return Content(flags, memory, frozenset(vendor))


def _chosen(module: Module, body: bytes) -> list[RoSpec]:
    """The ROSpecs a request names, zero for all. RefusedError when there is none of that number."""
    number = unpack(">I", body)[0]
    if number == _ALL:
        return list(module.rospecs.values())
    if number not in module.rospecs:
        raise RefusedError(M_FIELD, f"no ROSpec {number}")
    return [module.rospecs[number]]


def _delete_rospec(module: Module, body: bytes) -> list[bytes]:
    for spec in _chosen(module, body):
        module.end(spec)
        del module.rospecs[spec.number]
    return _success()


def _enable_rospec(module: Module, body: bytes) -> list[bytes]:
    for spec in _chosen(module, body):
        if spec.state == DISABLED:
            spec.state = ACTIVE if spec.immediate and module.heed_start_trigger else INACTIVE
    return _success()


def _disable_rospec(module: Module, body: bytes) -> list[bytes]:
    for spec in _chosen(module, body):
        module.end(spec, DISABLED)
    return _success()


def _start_rospec(module: Module, body: bytes) -> list[bytes]:
    for spec in _chosen(module, body):
        if spec.state != INACTIVE:
            raise RefusedError(M_FIELD, f"ROSpec {spec.number} is not inactive")
        spec.state = ACTIVE
    return _success()


def _stop_rospec(module: Module, body: bytes) -> list[bytes]:
    for spec in _chosen(module, body):
        if spec.state != ACTIVE:
            raise RefusedError(M_FIELD, f"ROSpec {spec.number} is not active")
        module.end(spec)
    return _success()


def _get_rospecs(module: Module, _body: bytes) -> list[bytes]:
    specs = (param(177, spec.raw[:5], bytes((spec.state,)), spec.raw[6:]) for spec in module.rospecs.values())
    return [status(), *specs]


def _add_accessspec(module: Module, body: bytes) -> list[bytes]:
    inner = children(body).get(207)
    if inner is None:
        raise RefusedError(M_FIELD, "no AccessSpec")
    number, _, protocol, state, _ = unpack(">IHBBI", inner[:12])
    if not module.offers_access:
        raise RefusedError(M_UNSUPPORTED, "access operations")
    if protocol != 1 or state & 0x80:
        raise RefusedError(P_FIELD, "a new AccessSpec is disabled and of EPC Gen2")
    module.accessspecs[number] = AccessSpec(inner, _reads(children(inner[12:])[209]))
    return _success()


def _reads(command: bytes) -> tuple[tuple[int, int, int, int], ...]:
    """The read operations of an access command: id, bank, first word, words. RefusedError for a tag filter that is not
    one that fits all."""
    reads = []
    for kind, inner in walk(command):
        if kind == 338:
            bank_and_match, _, mask_bits = unpack(">BHH", children(inner)[339][:5])
            if mask_bits or not bank_and_match & 0x20:
                raise RefusedError(M_FIELD, "tag filter")
        elif kind == 341:
            number, _, bank, first, words = unpack(">HIBHH", inner)
            reads.append((number, bank >> 6, first, words))
        else:
            raise RefusedError(M_UNKNOWN_PARAMETER, f"parameter {kind}")
    return tuple(reads)


def _delete_accessspec(module: Module, body: bytes) -> list[bytes]:
    number = unpack(">I", body)[0]
    if number == _ALL:
        module.accessspecs.clear()
    elif module.accessspecs.pop(number, None) is None:
        raise RefusedError(M_FIELD, f"no AccessSpec {number}")
    return _success()


def _switch_accessspec(module: Module, body: bytes, *, on: bool) -> list[bytes]:
    number = unpack(">I", body)[0]
    if number != _ALL and number not in module.accessspecs:
        raise RefusedError(M_FIELD, f"no AccessSpec {number}")
    for known, spec in module.accessspecs.items():
        if number in (_ALL, known):
            spec.enabled = on
    return _success()


def _get_accessspecs(module: Module, _body: bytes) -> list[bytes]:
    return [status(), *(param(207, spec.raw) for spec in module.accessspecs.values())]


def _get_report(module: Module, _body: bytes) -> None:
    for spec in module.rospecs.values():
        module.flush(spec)


def _enable_reports(module: Module, _body: bytes) -> None:
    module.session.unheld = True
    for spec in module.active():
        if spec.trigger and spec.every and len(spec.waiting) >= spec.every:
            module.flush(spec)


def _acknowledged(module: Module, _body: bytes) -> None:
    module.publish("keepalive_ack")


def _close(module: Module, _body: bytes) -> list[bytes]:
    module.publish("goodbye")
    return _success()


def _vendor(module: Module, body: bytes) -> list[bytes]:
    vendor, subtype = unpack(">IB", body[:5])
    if (vendor, subtype) != (IMPINJ, 21) or module.maker != IMPINJ:
        raise RefusedError(M_UNSUPPORTED, "vendor message")
    module.session.extensions = True
    return [pack(">IB", IMPINJ, 22), status()]


HANDLERS: dict[int, tuple[int, Handler]] = {
    1: (11, _capabilities),
    2: (12, _get_config),
    3: (13, _set_config),
    14: (4, _close),
    20: (30, _add_rospec),
    21: (31, _delete_rospec),
    22: (32, _start_rospec),
    23: (33, _stop_rospec),
    24: (34, _enable_rospec),
    25: (35, _disable_rospec),
    26: (36, _get_rospecs),
    40: (50, _add_accessspec),
    41: (51, _delete_accessspec),
    42: (52, partial(_switch_accessspec, on=True)),
    43: (53, partial(_switch_accessspec, on=False)),
    44: (54, _get_accessspecs),
    60: (61, _get_report),
    64: (0, _enable_reports),
    72: (0, _acknowledged),
    1023: (1023, _vendor),
}
"""Message type -> type of its answer, and what it does. None as an answer: there is none."""
