"""What keeps the lane red, as people are told it: few lines, the root first, nothing that follows from another line."""

from collections.abc import Iterator, Mapping, Sequence

from drivers.api import DeviceError, Stamp
from edge_agent.passage.codes import CauseCode
from edge_agent.passage.views import Cause
from edge_agent.safety.facts import Reason
from edge_agent.wire import lane as lane_wire
from securecorridor.lane.v1 import lane_service_pb2 as lane_pb

_TOLD_BY_CORE = frozenset(
    {
        Reason.NO_LEASE,
        Reason.LEASE_EXPIRED,
        Reason.HOLD,
        Reason.FAULT_LATCHED,
        Reason.ORDER_UNKNOWN,
        Reason.MODE,
        Reason.NOT_STANDING,
    }
)
"""Interlock reasons that the core's causes already tell better."""
_WITHOUT_MODULE = frozenset(
    {Reason.READBACK_UNKNOWN, Reason.CANNOT_CONFIRM, Reason.MINIMUM_RED, Reason.STOP_LINE_UNKNOWN}
)
"""What is never known while the module does not answer."""
_WITHOUT_ZONES = frozenset(
    {
        CauseCode.FAULT,
        CauseCode.LANE_HOLD,
        CauseCode.MODE,
        CauseCode.ZONES_LOST,
        CauseCode.DEVICE_DOWN,
        CauseCode.HOLD,
    }
)
"""Causes that mean something while the zone inputs are unknown; what is thought of vehicles then does not."""


def told(
    core: Sequence[Cause],
    reasons: Sequence[tuple[Reason, Stamp]],
    down: Sequence[str],
    modules: frozenset[str],
    faults: Mapping[str, DeviceError],
) -> list[lane_pb.RedCause]:
    """The core's causes and the interlock's reasons, without repetition. `down`: the devices that the core's
    REQUIRED_DEVICE_DOWN causes are about, in their order; `modules`: the lane's I/O modules; `faults`: what is wrong
    with each device at present."""
    roots = list(_device_causes(core, down, faults))
    # An I/O module that is gone takes zones and signal with it: it is the one to mend first.
    shown = [cause for device, cause in roots if device in modules]
    later = iter([cause for device, cause in roots if device not in modules])
    for cause in _of_core(core):
        if cause.code is not CauseCode.DEVICE_DOWN:
            shown.append(lane_wire.cause_message(cause))
        elif (device_cause := next(later, None)) is not None:
            shown.append(device_cause)
    shown.extend(
        lane_wire.interlock_cause(reason.value, since)
        for reason, since in _of_interlock(reasons, core_tells=bool(core))
    )
    return shown


def _device_causes(
    core: Sequence[Cause], down: Sequence[str], faults: Mapping[str, DeviceError]
) -> Iterator[tuple[str, lane_pb.RedCause]]:
    # The core keeps the code a device went down with; a technician needs the one it is down with now.
    causes = (cause for cause in core if cause.code is CauseCode.DEVICE_DOWN)
    for device, cause in zip(down, causes, strict=False):
        message = lane_wire.cause_message(cause)
        fault = faults.get(device)
        if fault is not None:
            message.text = f"{device} is down: {fault.code}"
            message.hint = fault.hint or message.hint
        yield device, message


def _of_core(core: Sequence[Cause]) -> Iterator[Cause]:
    blind = any(cause.code is CauseCode.ZONES_LOST for cause in core)
    for cause in core:
        if not blind or cause.code in _WITHOUT_ZONES:
            yield cause


def _of_interlock(reasons: Sequence[tuple[Reason, Stamp]], *, core_tells: bool) -> Iterator[tuple[Reason, Stamp]]:
    not_ready = any(reason is Reason.MODULE_NOT_READY for reason, _ in reasons)
    for reason, since in reasons:
        told_already = core_tells and reason in _TOLD_BY_CORE
        follows = not_ready and reason in _WITHOUT_MODULE
        if not told_already and not follows:
            yield reason, since
