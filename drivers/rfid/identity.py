"""Whether the reader that answers is the one meant. Same for all families."""

from drivers.api import DeviceRefused


def verify_identity(told: str, expected: str | None, key: str) -> str:
    """How sure it is which reader this is, for its details: "verified", "not checked" when lane.yaml names none under
    `key`, "not verifiable" when it names none and the reader (`told` "") would not say.

    DeviceRefused WRONG_DEVICE when another one answers than the one named, or one that does not say who it is.
    """
    if expected is None:
        return "not checked" if told else "not verifiable"
    if told == expected:
        return "verified"
    if told:
        raise DeviceRefused(
            "WRONG_DEVICE",
            f"the reader says it is {told}, lane.yaml names {expected}",
            f"two readers were swapped, or this one was exchanged: check where it is plugged in, or correct {key}",
        )
    raise DeviceRefused(
        "WRONG_DEVICE",
        f"the reader does not say who it is, lane.yaml names {expected}",
        f"another model? One that cannot tell is named by its adapter (/dev/serial/by-id/...), without {key}",
    )
