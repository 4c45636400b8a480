"""Which module answers: identity before and after a reconnect, other masters, and a trip told by the profile."""

import pytest

from drivers.api import Aspect, DeviceError, DeviceRefused, DeviceUp
from hil.devices.modbus_maps import Wago750352
from tests.unit.modbus.lane_io_bench import bench
from tests.unit.modbus.scripted import until

pytestmark = pytest.mark.real_time


async def test_another_module_of_the_same_kind_is_refused_after_a_reconnect() -> None:
    async with bench() as b:
        io = b.session()
        async with b.running(io):
            up = b.seen[0]
            assert isinstance(up, DeviceUp)
            assert up.info.serial == "00:30:de:00:00:01"
        again = b.session()
        again.expected_identity = up.info.details["identity"]
        b.seen.clear()
        async with b.running(again):
            assert isinstance(b.seen[0], DeviceUp), "the same module comes up again"
        b.events.clear()
        b.module._map = Wago750352(mac="0030de0000ff")
        other = b.session()
        other.expected_identity = again.expected_identity
        error = await b.fails(other)
        assert (type(error), error.code, error.retryable) == (DeviceRefused, "MODULE_CHANGED", False)
        assert "00:30:de:00:00:ff" in error.message
        assert not b.named("write"), "nothing is written to a module that was not commissioned"


async def test_the_module_tells_of_another_master() -> None:
    async with bench() as b:
        io = b.session(watchdog_ms=2000)
        async with b.running(io):
            await until(lambda: io.bus.statistics.transactions > 30)
            assert io.other_masters == 0
            async with b.running(b.session(roles={"zone_a": {"point": 0}})):
                await until(lambda: io.other_masters == 1)
            await until(lambda: io.other_masters == 0)


async def test_a_firmware_that_does_not_count_connections_is_served_all_the_same() -> None:
    async with bench() as b:
        io = b.session()
        async with b.running(io) as session:
            b.module.faults.set({"fault": "exception", "times": 1, "functions": [3], "code": 2})
            io._watchdog, watchdog = None, io._watchdog
            await until(lambda: not io._counted)
            io._watchdog = watchdog
            assert not session.done()


@pytest.mark.parametrize(("named", "told"), [(4, ""), (6, "MODBUS_DEVICE_FAILURE"), (None, "MODBUS_DEVICE_FAILURE")])
async def test_a_trip_is_told_by_the_exception_that_the_profile_names(named: int | None, told: str) -> None:
    async with bench() as b:
        io = b.session(poll_ms=1000, stale_ms=2000, watchdog_ms=400)
        watchdog = io._profile.watchdog
        assert watchdog is not None
        naming = watchdog.model_copy(update={"exception_while_tripped": named})
        io._profile = io._profile.model_copy(update={"watchdog": naming})
        async with b.running(io):
            await io.write(Aspect.GREEN)
            await until(lambda: b.module.state.watchdog.trips == 1)
            if told:
                with pytest.raises(DeviceError) as ended:
                    await io.read()
                assert ended.value.code == told
            else:
                assert (await io.read()).tripped
