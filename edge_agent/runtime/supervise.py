"""The only retry loop of the agent: one session after another, with a jittered pause between them."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol, TypeVar, overload

from drivers.api import DeviceError, EdgeError, LinkLost

LOCAL_CAP_S = 1.0
CENTRAL_CAP_S = 2.0
CAMERA_CAP_S = 10.0

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
F = TypeVar("F", bound=EdgeError)


class Session(Protocol[T_co]):
    """Anything that runs once: a driver's `Source`, a stream to the release service, a camera connection."""

    async def run(self, emit: Callable[[T_co], None]) -> None:
        """Work until the session ends; raise the fault that ended it."""
        ...


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses between sessions, in seconds: doubled from `first_s` to `cap_s`, each shortened by up to half by `rng`.

    A session of `steady_s` or more starts the pauses afresh; a refused device is probed again every `park_s`.
    """

    cap_s: float
    rng: random.Random = field(repr=False)
    first_s: float = 0.1
    steady_s: float = 30.0
    park_s: float = 30.0

    def pause_s(self, failures: int) -> float:
        """The pause after this many failures in a row (1 or more)."""
        # Doubling stops mattering long before 2^30, and a float of 2^1100 would overflow on a device absent for days.
        full = min(self.cap_s, self.first_s * 2.0 ** min(failures - 1, 30))
        return full * (1.0 - 0.5 * self.rng.random())


@overload
async def keep_running(
    make: Callable[[], Session[T]],
    emit: Callable[[T], None],
    backoff: Backoff,
    on_fault: Callable[[DeviceError], None],
) -> NoReturn: ...
@overload
async def keep_running(
    make: Callable[[], Session[T]],
    emit: Callable[[T], None],
    backoff: Backoff,
    on_fault: Callable[[F], None],
    faults: type[F],
) -> NoReturn: ...
async def keep_running(
    make: Callable[[], Session[T]],
    emit: Callable[[T], None],
    backoff: Backoff,
    on_fault: Callable[..., None],
    faults: type[EdgeError] = DeviceError,
) -> NoReturn:
    """Run sessions made by `make`, one at a time and for ever: a new object for each, never two at once.

    `on_fault` is told why each one ended (a session that just returns ends as LinkLost SESSION_ENDED). A fault that is
    not `retryable` parks the device: the next probe comes after `park_s`. Anything that is not of the `faults` type
    escapes, and so does cancellation.
    """
    loop = asyncio.get_running_loop()
    failures = 0
    while True:
        began_s = loop.time()
        fault: EdgeError = LinkLost("SESSION_ENDED", "the session ended without naming a fault")
        try:
            await _alone(make().run(emit))
        except faults as error:
            fault = error
        on_fault(fault)
        failures = 1 if loop.time() - began_s >= backoff.steady_s else failures + 1
        parked = not getattr(fault, "retryable", True)
        await asyncio.sleep(backoff.park_s if parked else backoff.pause_s(failures))


async def _alone(session: Coroutine[Any, Any, None]) -> None:
    """Run a session in a task of its own, ended before this returns; raises what the session raised.

    On Python 3.11 a TaskGroup that a child's fault ends can leave a cancel request on its task for good, and
    asyncio.timeout in that task then takes its own expiry for a cancellation from outside: the session after a broken
    one would end the whole loop without a word.
    """
    task = asyncio.get_running_loop().create_task(session)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait([task])
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, EdgeError):
            raise error from None
        raise
    if not task.cancelled():  # by itself: a session that just ended
        task.result()
