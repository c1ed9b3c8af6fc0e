"""What gadgets publish is read by maps exactly, or dropped with a name."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter.collect.observation import Dropped, DropReason, Observation, Observed
from meter.sources.mqtt_maps import (
    BUILT_IN,
    PAYLOAD_BYTES_MAX,
    MapError,
    MessageReader,
    MqttMap,
    RegisterField,
    TimeField,
    build_map,
    read_map,
)
from primitives.ids import UnixMs

NOW_MS = UnixMs(1_800_000_000_000)
TASMOTA = {
    "Time": "2027-01-15T09:00:00",
    "ENERGY": {
        "TotalStartTime": "2020-01-01T00:00:00",
        "Total": 52185.783,
        "Yesterday": 3.1,
        "Today": 0.2,
        "Power": 153,
        "ExportActive": 19949.322,
    },
}
SHELLY_EM = {"id": 0, "a_total_act_energy": 1.5, "total_act": 2776175.11, "total_act_ret": 571584.87}
SHELLY_PM = {
    "id": 0,
    "output": True,
    "apower": 8.9,
    "aenergy": {"total": 6532.9, "by_minute": [45.1, 47.9, 88.6], "minute_ts": 1626935779},
    "ret_aenergy": {"total": 12.4},
}
HOME = {"import_kwh": "1200.450", "export_kwh": 310.6, "time": "2027-01-15T08:00:00+00:00"}


def take(
    found: MqttMap, topic: str, content: object, *, retained: bool = False, raw: bytes | None = None
) -> list[Observed]:
    payload = json.dumps(content).encode() if raw is None else raw
    return list(MessageReader(found).take(topic, payload, retained=retained, now_ms=NOW_MS))


def get_reason(observed: list[Observed]) -> DropReason:
    (dropped,) = observed
    assert isinstance(dropped, Dropped)
    return dropped.reason


@pytest.mark.parametrize(
    ("name", "device", "topic", "content", "registers"),
    [
        ("tasmota", "meter", "tele/meter/SENSOR", TASMOTA, (52_185_783, 19_949_322)),
        ("shelly-em", "shellypro3em-1", "shellypro3em-1/status/emdata:0", SHELLY_EM, (2_776_175, 571_584)),
        ("shelly-pm", "pm-1", "pm-1/status/pm1:0", SHELLY_PM, (6_532, 12)),
        ("shelly-switch", "plug-1", "plug-1/status/switch:0", SHELLY_PM, (6_532, 12)),
        ("homeassistant-json", "home/grid", "home/grid", HOME, (1_200_450, 310_600)),
    ],
)
def test_what_a_gadget_publishes_is_read_exactly(
    name: str, device: str, topic: str, content: object, registers: tuple[int, int]
) -> None:
    (observed,) = take(build_map(name, device), topic, content)
    assert isinstance(observed, Observation)
    assert (observed.import_wh, observed.export_wh) == registers
    assert observed.time_ms == NOW_MS


def test_home_assistants_statestream_is_put_together_of_two_topics() -> None:
    reader = MessageReader(build_map("homeassistant", "homeassistant/sensor/grid"))
    first = list(
        reader.take("homeassistant/sensor/grid_import/state", b"1200.45", retained=False, now_ms=NOW_MS)
    )
    assert first == []  # half of it
    second = list(
        reader.take("homeassistant/sensor/grid_export/state", b"310.6", retained=False, now_ms=NOW_MS)
    )
    assert second == [Observation(NOW_MS, 1_200_450, 310_600)]  # type: ignore[arg-type]
    reader.forget()
    again = list(
        reader.take("homeassistant/sensor/grid_import/state", b"1200.46", retained=False, now_ms=NOW_MS)
    )
    assert again == []  # after a broken link the other one may have changed


def test_a_gadget_that_never_feeds_in_has_an_export_of_nothing() -> None:
    content = {"ENERGY": {"Total": 1.5}}
    (observed,) = take(build_map("tasmota", "m"), "tele/m/SENSOR", content)
    assert observed == Observation(NOW_MS, 1500, 0)  # type: ignore[arg-type]


def test_the_registers_of_several_phases_are_added_up() -> None:
    content = {"ENERGY": {"Total": [1.5, 2.25, 3]}}
    (observed,) = take(build_map("tasmota", "m"), "tele/m/SENSOR", content)
    assert observed == Observation(NOW_MS, 6750, 0)  # type: ignore[arg-type]


def test_what_the_broker_retained_is_old_and_does_not_count() -> None:
    assert (
        get_reason(take(build_map("tasmota", "m"), "tele/m/SENSOR", TASMOTA, retained=True))
        is DropReason.MESSAGE_OLD
    )


@pytest.mark.parametrize(
    ("time", "reason"),
    [
        ("2027-01-15T08:00:30+00:00", None),
        ("2027-01-15T09:00:00+01:00", None),
        (1_800_000_000, None),
        ("2027-01-15T07:58:00+00:00", DropReason.MESSAGE_OLD),
        (1_799_999_000, DropReason.MESSAGE_OLD),
        ("2027-01-15T08:05:00+00:00", DropReason.TIME_INVALID),
        ("2027-01-15T08:00:00", DropReason.TIME_INVALID),
        ("noon", DropReason.TIME_INVALID),
        (None, DropReason.TIME_MISSING),
    ],
)
def test_a_message_that_says_its_time_counts_by_it_even_when_it_was_retained(
    time: object, reason: DropReason | None
) -> None:
    found = take(build_map("homeassistant-json", "t"), "t", {**HOME, "time": time}, retained=True)
    assert (None if isinstance(found[0], Observation) else get_reason(found)) is reason


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", DropReason.MESSAGE_MALFORMED),
        (b"\xff\xfe", DropReason.MESSAGE_MALFORMED),
        (b"unavailable", DropReason.MESSAGE_MALFORMED),
        (b"[" * 60_000, DropReason.MESSAGE_MALFORMED),
        (b"1.5", DropReason.MESSAGE_MALFORMED),
        (b" " * (PAYLOAD_BYTES_MAX + 1), DropReason.MESSAGE_TOO_LONG),
        (b"{}", DropReason.REGISTER_MISSING),
        (b'{"ENERGY": 5}', DropReason.REGISTER_MISSING),
        (b'{"ENERGY": {"Total": null}}', DropReason.REGISTER_MISSING),
        (b'{"ENERGY": {"Total": -1}}', DropReason.NUMBER_INVALID),
        (b'{"ENERGY": {"Total": NaN}}', DropReason.NUMBER_INVALID),
        (b'{"ENERGY": {"Total": 1e999}}', DropReason.NUMBER_INVALID),
        (b'{"ENERGY": {"Total": 1e-999}}', DropReason.NUMBER_INVALID),
        (b'{"ENERGY": {"Total": ' + b"9" * 5000 + b"}}", DropReason.NUMBER_INVALID),
        (b'{"ENERGY": {"Total": true}}', DropReason.NUMBER_INVALID),
        (b'{"ENERGY": {"Total": {}}}', DropReason.NUMBER_INVALID),
        (b'{"ENERGY": {"Total": []}}', DropReason.NUMBER_INVALID),
        (b'{"ENERGY": {"Total": [1,2,3,4,5,6,7,8,9]}}', DropReason.NUMBER_INVALID),
    ],
)
def test_what_is_no_register_is_dropped_by_name(raw: bytes, reason: DropReason) -> None:
    assert get_reason(take(build_map("tasmota", "m"), "tele/m/SENSOR", None, raw=raw)) is reason


def test_other_topics_are_not_looked_at() -> None:
    assert take(build_map("tasmota", "m"), "tele/other/SENSOR", TASMOTA) == []


@given(payload=st.binary(max_size=200) | st.text().map(str.encode), retained=st.booleans())
@settings(max_examples=300)
def test_no_payload_raises(payload: bytes, retained: bool) -> None:
    for name in BUILT_IN:
        found = build_map(name, "m")
        for topic in found.topics:
            for observed in take(found, topic, None, retained=retained, raw=payload):
                assert isinstance(observed, Observation | Dropped)


def test_a_map_of_ones_own_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "map.toml"
    path.write_text(
        '[import]\ntopic = "cellar/meter"\nfield = "a.b"\nunit = "MWh"\n[time]\nfield = "ts"\n',
        encoding="utf-8",
    )
    found = read_map(path)
    assert found == MqttMap(RegisterField("cellar/meter", "a.b", "MWh"), None, TimeField("ts"))
    content = {"a": {"b": 1.25}, "ts": NOW_MS // 1000}
    assert take(found, "cellar/meter", content) == [Observation(NOW_MS, 1_250_000, 0)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[import]\n",
        '[import]\ntopic = "a/#"\n',
        '[import]\ntopic = "+/b"\n',
        '[import]\ntopic = ""\n',
        '[import]\ntopic = "a"\nunit = "J"\n',
        '[import]\ntopic = "a"\nfoo = 1\n',
        "[import\n",
    ],
)
def test_a_file_that_is_no_map_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "map.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(MapError) as raised:
        read_map(path)
    assert "\n" not in str(raised.value)
    with pytest.raises(MapError):
        read_map(tmp_path / "absent.toml")
    with pytest.raises(MapError):
        build_map("no-such-map", "m")
