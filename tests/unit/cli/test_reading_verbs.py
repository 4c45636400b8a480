"""What the reading verbs show, their JSON keys and exit codes."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest

from securecorridor.lane.v1 import actuators_pb2 as pb
from securecorridor.lane.v1 import types_pb2 as types
from securecorridor.release.v1.record_pb2 import Bundle
from tests.unit.api.fake_lane import CLEAR_TEXT, CONVEYANCE, SEALED_BUNDLE, SEALED_CONVEYANCE, event
from tests.unit.cli.running import lanectl

LANE_KEYS = {
    "name", "mode", "etag", "at", "corridor_order_known", "corridor_order_since", "signal", "conveyances",
    "conditions", "red_causes", "centre_up", "centre_since", "console_present", "boot_id", "agent_version", "zones",
    "control",
}  # fmt: skip
WARNING = types.Condition(
    code="CENTRE_LOST", severity=types.SEVERITY_WARNING, title="No answer", hint="look at the line"
)
ALARM = types.Condition(code="LAMP_DARK", severity=types.SEVERITY_ALARM, title="No lamp is lit", device="io-1")


@pytest.mark.real_time
async def test_status_shows_the_lane_and_ends_with_its_worst_condition(tmp_path: Path) -> None:
    async with lanectl(tmp_path) as ctl:
        ran = await ctl("status")
        assert ran.code == 0
        for shown in (
            "ports/0427/lanes/07",
            "remote",
            "red (confirmed by lamp",
            CONVEYANCE,
            "-28..-32 m",
            "zone_a occupied",
            "late",
        ):
            assert shown in ran.out
        ctl.lane.held = True
        ctl.lane.conditions_now = [WARNING]
        ran = await ctl("status")
        assert ran.code == 1
        assert "HOLD    by bso-7" in ran.out
        assert "(0.0 s ago)" in ran.out
        assert "warning CENTRE_LOST: No answer; look at the line" in ran.out
        ctl.lane.conditions_now = [ALARM, WARNING]
        assert (await ctl("status")).code == 3
        ctl.lane.conditions_now = []
        ctl.lane.fault = "LAMP_DARK"
        ran = await ctl("status")
        assert ran.code == 3
        assert "FAULT LAMP_DARK" in ran.out
        ctl.lane.conveyances = False
        assert "no vehicle in the lane" in (await ctl("status")).out


@pytest.mark.real_time
async def test_status_tells_of_arm_sign_beacon_and_tone_what_is_known(tmp_path: Path) -> None:
    async with lanectl(tmp_path) as ctl:
        assert not {"arm", "sign", "beacon", "tone"} & set((await ctl("status", "--json")).json)
        arm, sign = ctl.lane.besides.arm, ctl.lane.besides.sign
        arm.position, arm.asked = pb.ArmState.POSITION_DOWN, pb.ArmState.MOVEMENT_RAISE
        arm.against_lowering.extend(["needed", "not_up"])
        sign.wanted = sign.shown = pb.SignState.TEXT_STOP
        sign.grade = types.GRADE_COIL
        ctl.lane.besides.beacon.wanted = ctl.lane.besides.beacon.shown = pb.AlarmState.LEVEL_ON
        ctl.lane.besides.tone.wanted = pb.AlarmState.LEVEL_OFF
        ran = await ctl("status")
        for line in (
            "arm     down, asked to raise, since",
            "sign    STOP / ARRÊT (commanded only, by coil), since",
            "beacon  on, since",
            "tone    off wanted, not confirmed, since",
        ):
            assert line in ran.out
        arm.position, arm.asked = pb.ArmState.POSITION_UP, pb.ArmState.MOVEMENT_UNSPECIFIED
        sign.wanted = pb.SignState.TEXT_CLOSED
        ctl.lane.besides.tone.shown = pb.AlarmState.LEVEL_ON
        ran = await ctl("status")
        assert "arm     up, kept up: needed, not up, since" in ran.out
        assert "STOP / ARRÊT (commanded only, by coil), wanted LANE CLOSED / VOIE FERMÉE" in ran.out
        assert "message sign: STOP / ARRÊT (commanded only, by coil), wanted LANE CLOSED" in (await ctl("why")).out
        assert (await ctl("why", "--json")).json["sign"]["grade"] == "GRADE_COIL"
        sign.grade = types.GRADE_CONTACT
        assert "STOP / ARRÊT (confirmed by contact), wanted LANE CLOSED" in (await ctl("status")).out
        assert "tone    off wanted, but it is on" in ran.out
        arm.position, arm.fault = pb.ArmState.POSITION_BOTH, "BARRIER_LIMITS_CONFLICT"
        sign.shown = pb.SignState.TEXT_UNSPECIFIED
        ran = await ctl("status")
        assert "UP AND DOWN: its limit switches contradict each other, FAULT BARRIER_LIMITS_CONFLICT" in ran.out
        assert "sign    NOT CONFIRMED, wanted LANE CLOSED" in ran.out
        arm.position = pb.ArmState.POSITION_UNSPECIFIED
        assert "arm     NOT KNOWN, FAULT" in (await ctl("status")).out
        assert (await ctl("status", "--json")).json["arm"]["fault"] == "BARRIER_LIMITS_CONFLICT"


@pytest.mark.real_time
async def test_json_has_the_contracts_names_and_no_identity_at_any_door(tmp_path: Path) -> None:
    async with lanectl(tmp_path) as ctl:
        for door in ("officer", "technician", "viewer", "central"):
            ran = await ctl("status", "--json", "--door", door)
            assert set(ran.json) == LANE_KEYS
            assert CLEAR_TEXT not in ran.out
            assert ran.json["conveyances"][0]["conveyance_id"] == CONVEYANCE
            assert ran.json["conveyances"][0]["decision_live"] is False
            shown = await ctl("show", CONVEYANCE, "--json", "--door", door)
            assert set(shown.json) == {"passage", "live", "bundle"}
            assert shown.json["live"]["phase"] == "PHASE_REQUESTED"
            assert CLEAR_TEXT not in shown.out


@pytest.mark.real_time
async def test_why_lists_causes_in_order_with_since_by_and_hint(tmp_path: Path) -> None:
    async with lanectl(tmp_path) as ctl:
        ctl.lane.held = True
        ran = await ctl("why")
        assert ran.code == 0
        first, second = (ran.out.index(code) for code in ("[HOLD_LANE]", "[WAITING_DECISION]"))
        assert first < second
        assert "by bso-7" in ran.out
        assert "-> what to do about HOLD_LANE" in ran.out
        ran = await ctl("why", "--json")
        assert set(ran.json) == {"name", "at", "mode", "signal", "red_causes", "green"}
        assert [cause["code"] for cause in ran.json["red_causes"]] == ["HOLD_LANE", "WAITING_DECISION"]
        assert ran.json["green"] is False
        ctl.lane.held, ctl.lane.green = False, True
        ran = await ctl("why")
        assert f"green is for {CONVEYANCE}; nothing keeps the lane red" in ran.out
        assert (await ctl("why", "--json")).json["green"] is True
        ctl.lane.fault = "LAMP_DARK"
        assert (await ctl("why")).code == 3


@pytest.mark.real_time
async def test_tail_gives_the_backlog_as_lines_or_objects(tmp_path: Path) -> None:
    async with lanectl(tmp_path) as ctl:
        ran = await ctl("tail", "-n", "2")
        assert (ran.code, [line.split()[3] for line in ran.out.splitlines()]) == (0, ["EVENT_3", "EVENT_4"])
        ran = await ctl("tail", "-n", "2", "--json")
        events = [json.loads(line) for line in ran.out.splitlines()]
        assert [set(one) for one in events] == [{"at", "code", "severity", "conveyance_id", "facts"}] * 2
        assert (await ctl("tail", "-n", "2000")).code == 2


@pytest.mark.real_time
async def test_tail_follow_ends_with_the_agent(tmp_path: Path) -> None:
    async with lanectl(tmp_path) as ctl:
        ctl.lane.history = [event("ONLY")]
        # A closed subscription is how the agent's side of the stream ends.
        with ctl.lane.happening.subscribe() as closed:
            closed.put(event("NEWS"))
        ctl.lane.events = lambda: nullcontext(closed)  # type: ignore[method-assign]
        ran = await ctl("tail", "--follow", "--json")
        assert [json.loads(line)["code"] for line in ran.out.splitlines()] == ["ONLY", "NEWS"]


@pytest.mark.real_time
async def test_passages_page_and_show_what_central_has(tmp_path: Path) -> None:
    async with lanectl(tmp_path) as ctl:
        ran = await ctl("passages", "-n", "2")
        assert ran.code == 0
        assert SEALED_BUNDLE in ran.out
        assert "released_rolling" in ran.out
        assert "first request to decision  decision to green" in ran.out
        assert "more: lanectl passages --page-token 29" in ran.out
        ran = await ctl("passages", "-n", "2", "--page-token", "29", "--json")
        assert set(ran.json) == {"passages", "next_page_token"}
        assert [passage["seq"] for passage in ran.json["passages"]] == ["28", "27"]
        assert ran.json["passages"][0]["delivered"] is True
        ctl.lane.sealed = []
        assert "no passage yet" in (await ctl("passages")).out


@pytest.mark.real_time
async def test_show_renders_the_record_with_tokens_only(tmp_path: Path) -> None:
    async with lanectl(tmp_path) as ctl:
        ctl.lane.bundle = _bundle().SerializeToString()
        ran = await ctl("show", SEALED_BUNDLE[:13])
        assert ran.code == 0
        for shown in (
            "released_rolling, without stopping", "a_nose +0.000 s, s_nose +9.500 s", "driver yes, cargo no",
            "+1.250 s  driver_card token 0123abcd... at reader-1/2, 7 reads, peak -52.0 dBm, score 4.50",
            "doubtful, given to nobody: +3.000 s  driver_card",
            "peak -66.0 dBm, score 0.00, against 99-rival 4.25",
            "by central, with the decision  crn token fedc9876...",
            "+1.500 s  revision 1, all legs",
            "+1.900 s  release by system, revision 1, 0.4 s after the request it answers",
            "+2.000 s  commanded green, confirmed - by -", "+3.000 s  hold_lane by bso-7 (officer), OK: look",
        ):  # fmt: skip
            assert shown in ran.out, ran.out
        assert "0123abcdef" not in ran.out
        as_json = (await ctl("show", SEALED_BUNDLE, "--json")).json
        assert as_json["bundle"]["bundle_id"] == SEALED_BUNDLE
        assert as_json["passage"]["seq"] == "30"
        ctl.lane.bundle = b""
        assert "the lane no longer holds the record" in (await ctl("show", SEALED_BUNDLE)).out
        ctl.lane.bundle = b"\xff\xff"
        ran = await ctl("show", SEALED_BUNDLE)
        assert (ran.code, "BUNDLE_UNREADABLE" in ran.err) == (5, True)
        assert "detected" in (await ctl("show", CONVEYANCE)).out
        assert (await ctl("show", "0190ffff")).code == 6
        assert (await ctl("show", "0190")).code == 2


@pytest.mark.real_time
async def test_show_finds_a_passage_by_its_number_or_says_which_it_may_be(tmp_path: Path) -> None:
    async with lanectl(tmp_path) as ctl:
        ctl.lane.bundle = _bundle().SerializeToString()
        ran = await ctl("show", "30")
        assert (ran.code, f"{SEALED_BUNDLE} (number 30, waiting for central)" in ran.out) == (0, True)
        assert "took        transit 20 s" in ran.out
        ran = await ctl("show", "31")
        assert (ran.code, "no passage has number 31" in ran.err) == (6, True)

        ran = await ctl("show", "0190e1c2-002")
        assert (ran.code, "several passages begin with 0190e1c2-002" in ran.err) == (6, True)
        assert "they are: 29 0190e1c2-0029-7000-8000-00000000b000, 28 0190" in ran.err
        ran = await ctl("show", "0190ffff")
        assert (ran.code, "no passage begins with 0190ffff" in ran.err) == (6, True)
        assert f"the newest are: 30 {SEALED_BUNDLE}, " in ran.err
        assert "20 more; " in ran.err

        get = ctl.lane.get_passage

        async def by_whole_bundle_id_only(passage_id: str) -> object:
            return await get(SEALED_BUNDLE) if passage_id == SEALED_BUNDLE else None

        ctl.lane.get_passage = by_whole_bundle_id_only  # type: ignore[method-assign,assignment]
        assert (await ctl("show", SEALED_CONVEYANCE)).code == 0


@pytest.mark.real_time
async def test_devices_conditions_and_outbox(tmp_path: Path) -> None:
    async with lanectl(tmp_path) as ctl:
        ran = await ctl("devices")
        assert (ran.code, "reader-1" in ran.out, "1.5 s ago" in ran.out, "reads=12" in ran.out) == (0, True, True, True)
        assert set((await ctl("devices", "--json")).json["devices"][0]) >= {"device", "up", "fault_code", "counters"}
        (device,) = ctl.lane.devices()
        device.up, device.fault_code, device.fault_text, device.fault_hint = False, "RFID_LINK_LOST", "gone", "look"
        device.profile = "m6e (evidence manual, sha256:0123456789ab)"
        device.serial_number, device.identity = "16230067", "not checked"
        ctl.lane.devices = lambda: [device]  # type: ignore[method-assign]
        ran = await ctl("devices")
        assert (ran.code, "DOWN, required" in ran.out, "reader-1: gone [RFID_LINK_LOST]" in ran.out) == (1, True, True)
        assert device.profile in ran.out
        assert "16230067 (not checked)" in ran.out
        device.fault_text = "reader-1 at 192.0.2.30: gone"
        assert "\nreader-1 at 192.0.2.30: gone [RFID_LINK_LOST]" in (await ctl("devices")).out

        assert (await ctl("conditions")).out == "all is well\n"
        ctl.lane.conditions_now = [ALARM, WARNING]
        ran = await ctl("conditions")
        assert (ran.code, "alarm   LAMP_DARK: io-1: No lamp is lit" in ran.out) == (3, True)
        ran = await ctl("conditions", "--json")
        assert (ran.code, [c["code"] for c in ran.json["conditions"]]) == (3, ["LAMP_DARK", "CENTRE_LOST"])

        ran = await ctl("outbox")
        assert (ran.code, "central is connected" in ran.out, "1 min 15 s" in ran.out) == (0, True, True)
        away = ctl.lane.outbox()
        away.connected = False
        ctl.lane.outbox = lambda: away  # type: ignore[method-assign]
        ran = await ctl("outbox", "--json")
        assert (ran.code, ran.json["connected"], ran.json["classes"][0]["records"]) == (1, False, "2")


@pytest.mark.real_time
async def test_reader_shows_levels_missed_vehicles_losses_and_gaps(tmp_path: Path) -> None:
    async with lanectl(tmp_path) as ctl:
        ran = await ctl("reader")
        assert ran.code == 0
        for shown in (
            "reader-1 (mercury) up, 4.5 reads/s, 120 in all, 41 °C",
            "30 of 50, 60 % (limit 50 %)",
            "high return loss",
            "crc_errors=3 frames=400",
            "for 2.5 s [RFID_SILENT]",
            "still [X]",
        ):
            assert shown in ran.out
        condition = types.Condition(code="READER_ANTENNA", title="antenna 1", hint="look at it", device="reader-1")
        ctl.lane.conditions_now = [condition, WARNING]
        ran = await ctl("reader", "reader-1")
        assert (ran.code, "antenna 1 [READER_ANTENNA]\n  -> look at it" in ran.out) == (1, True)
        assert WARNING.code not in ran.out
        ran = await ctl("reader", "--json")
        (reader,) = ran.json["readers"]
        first, second = reader["antennas"]
        assert [level["reads"] for level in first["levels"]] == ["0", "0", "5", "20", "60", "15", "0", "0", "0"]
        assert (first["levels"][0].get("above_dbm"), first["levels"][0]["to_dbm"]) == (None, -75)
        assert (first["vehicles_only_here"], second["reads_without_level"]) == (5, "20")
        assert (first["strays"], second["strays"]) == ("7", "0")
        ran = await ctl("reader", "reader-9")
        assert (ran.code, "READER_NOT_FOUND" in ran.out + ran.err) == (6, True)


def _bundle() -> Bundle:
    bundle = Bundle(bundle_id=SEALED_BUNDLE, mode=types.LANE_MODE_REMOTE, outcome=types.OUTCOME_RELEASED_ROLLING)
    start = 1_000_000_000

    def at(seconds: float) -> types.Moment:
        return types.Moment(mono_ns=start + round(seconds * 1e9))

    bundle.detected.CopyFrom(at(0))
    bundle.times.a_nose.CopyFrom(at(0))
    bundle.times.s_nose.CopyFrom(at(9.5))
    bundle.identity.legs.add(leg=types.LEG_DRIVER, complete=True, required=True)
    bundle.identity.legs.add(leg=types.LEG_CARGO, required=True)
    claim = types.IdentityClaim(kind=types.IDENTITY_KIND_DRIVER_CARD, token="0123abcdef" * 3, source="reader-1/2")
    bundle.identity.assignments.add(claim=claim, reads=7, rssi_peak_cdbm=-5200, score=4.5, first=at(1.25))
    rival = types.Assignment.Rival(conveyance_id="0199-rival", score=4.25)
    bundle.identity.doubtful.add(claim=claim, reads=2, rssi_peak_cdbm=-6600, first=at(3), rivals=[rival])
    named = types.IdentityClaim(kind=types.IDENTITY_KIND_CRN, token="fedc9876" * 4, source="central")
    bundle.identity.assignments.add(claim=named)
    bundle.requests.add(at=at(1.5), revision=1, complete=True)
    made = types.Decision(verdict=types.VERDICT_RELEASE, authority=types.AUTHORITY_SYSTEM, revision=1)
    taken = bundle.decisions.add(decision=made, received=at(1.9))
    taken.latency.FromMilliseconds(400)
    bundle.signals.add(at=at(2), commanded=types.ASPECT_GREEN)
    bundle.interventions.add(at=at(3), act="hold_lane", officer="bso-7", role="officer", result="OK", reason="look")
    return bundle
