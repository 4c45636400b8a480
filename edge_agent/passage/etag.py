"""The tag of what an officer sees of a vehicle, so that an act on something else is refused."""

import hashlib

from edge_agent.model.conveyance import Conveyance
from edge_agent.model.decision import OfficerAct

from .identity_digest import identity_digest
from .state import LaneState, Track


def etag_of(conveyance: Conveyance) -> str:
    """16 hex digits over phase, flags, identity digest, decisions, hold and order of detection."""
    hold = conveyance.hold
    seen = (
        conveyance.conveyance_id,
        conveyance.phase.value,
        ",".join(flag.value for flag in conveyance.flags),
        identity_digest(conveyance.assignments),
        ",".join(f"{d.decision_id}:{d.revision}:{d.verdict.value}" for d in conveyance.decisions),
        hold.etag if hold is not None else "",
        str(conveyance.order),
    )
    return hashlib.sha256("\n".join(seen).encode()).hexdigest()[:16]


def what_changed(track: Track, act: OfficerAct) -> str:
    """What is no longer as the officer saw it, in words; empty when nothing is."""
    if act.identity_digest != track.digest:
        return "the identity has changed since it was shown: look again"
    return what_moved(track, act)


def what_moved(track: Track, act: OfficerAct) -> str:
    """The same for an act that names the state alone; the etag covers the identity, too."""
    conveyance = track.conveyance
    if act.etag != etag_of(conveyance):
        flags = ", ".join(flag.value for flag in conveyance.flags) or "none"
        decision = conveyance.decisions[-1].verdict.value if conveyance.decisions else "none"
        return (
            f"the vehicle has changed since it was shown: phase {conveyance.phase.value}, last decision {decision}, "
            f"flags {flags}: look again"
        )
    return ""


def lane_etag(state: LaneState) -> str:
    """16 hex digits over what an officer would act on: mode, holds, faults, order, links, conditions, every vehicle."""
    hold = state.hold
    seen = (
        state.mode.value,
        state.wanted_mode.value,
        hold.etag if hold is not None else "",
        state.fault.code if state.fault is not None else "",
        f"{state.order.known}:{state.order.reason}",
        f"{state.centre.up}:{state.console.up}:{state.store.up}:{state.zones.fresh}",
        state.control.officer,
        ",".join(state.conditions),
        str(state.lease_seq if state.lease is not None else 0),
        ",".join(etag_of(conveyance) for conveyance in state.conveyances),
    )
    return hashlib.sha256("\n".join(seen).encode()).hexdigest()[:16]
