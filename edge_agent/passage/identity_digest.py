"""The identity digest: the one value a decision is bound to."""

import hashlib
from collections.abc import Iterable

from edge_agent.model.identity import Assignment


def identity_digest(assignments: Iterable[Assignment]) -> str:
    """`sha256:` + hex over the sorted set of binding (kind, token) pairs, each as `kind=token` and a line feed.

    Supplementary claims do not enter; the same tag seen by two antennas enters once."""
    pairs = {(a.sighting.claim.kind.value, a.sighting.claim.token) for a in assignments if a.sighting.claim.binding}
    text = "".join(f"{kind}={token}\n" for kind, token in sorted(pairs))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


NO_IDENTITY = identity_digest(())
"""Digest of a vehicle of which nothing binding is known."""
