"""The three identity legs of a vehicle against what the lane's policy requires."""

from edge_agent.model.conveyance import Conveyance
from edge_agent.model.decision import Decision
from edge_agent.model.identity import LEG_OF, IdentityClaim, IdentityKind, Leg
from edge_agent.model.lane import LanePolicy

from .state import ClaimKeys

_SUPPORTED: dict[IdentityKind, Leg] = {kind: leg for kind, leg in LEG_OF.items() if kind is not IdentityKind.OTHER_TAG}


def claims_of(conveyance: Conveyance, leg: Leg) -> tuple[IdentityClaim, ...]:
    """Claims read at the lane that support this leg; a transponder of no configured class supports none."""
    claims = [a.sighting.claim for a in conveyance.assignments]
    return tuple([claim for claim in claims if _SUPPORTED.get(claim.kind) is leg])


def claim_keys(conveyance: Conveyance) -> ClaimKeys:
    """The sorted set of all (kind, token) pairs, supplementary ones too."""
    return tuple(sorted({(a.sighting.claim.kind.value, a.sighting.claim.token) for a in conveyance.assignments}))


def missing_legs(conveyance: Conveyance, policy: LanePolicy) -> tuple[Leg, ...]:
    """Legs that the lane itself must read and has not; the cargo leg is completed by the decision."""
    required = ((Leg.DRIVER, policy.required_driver), (Leg.CONVEYANCE, policy.required_conveyance))
    have = {_SUPPORTED.get(a.sighting.claim.kind) for a in conveyance.assignments}
    return tuple([leg for leg, needed in required if needed and leg not in have])


def cargo_complete(conveyance: Conveyance, decision: Decision | None, policy: LanePolicy) -> bool:
    """Whether the cargo leg is complete, or not required."""
    if not policy.required_cargo or claims_of(conveyance, Leg.CARGO):
        return True
    return decision is not None and bool(decision.cargo)
