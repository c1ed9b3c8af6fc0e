"""Telegrams become exact registers, or are dropped with a name; nothing that comes over the wire makes it grow."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter.collect.observation import Dropped, DropReason
from meter.sources.p1 import LINE_BYTES_MAX, TELEGRAM_BYTES_MAX, Telegram, TelegramReader, compute_crc
from primitives.ids import UnixMs, WattHours
from tests.meter.collect.samples import REAL, build_telegram, read_real, seal

WITHOUT_CRC = "easymeter_q3d_d0"


def read(*parts: bytes) -> list[Telegram | Dropped]:
    reader = TelegramReader()
    return [found for part in parts for found in reader.feed(part)]


def get_reasons(found: list[Telegram | Dropped]) -> list[DropReason]:
    return [each.reason for each in found if isinstance(each, Dropped)]


def get_telegrams(found: list[Telegram | Dropped]) -> list[Telegram]:
    return [each for each in found if isinstance(each, Telegram)]


def reseal(name: str, old: bytes, new: bytes) -> bytes:
    """A real telegram with one thing replaced and a checksum that is right again."""
    content = read_real(name).rpartition(b"!")[0] + b"!"
    assert old in content
    return seal(content.replace(old, new))


@pytest.mark.parametrize("name", REAL)
def test_a_real_telegram_gives_the_registers_that_it_shows(name: str) -> None:
    (telegram,) = read(read_real(name))
    assert isinstance(telegram, Telegram)
    assert (telegram.import_wh, telegram.export_wh) == REAL[name]
    assert isinstance(telegram.import_wh, int)


def test_the_checksum_is_the_crc_16_arc_of_the_standard_check_word() -> None:
    assert compute_crc(b"123456789") == 0xBB3D


def test_the_meters_own_time_is_taken_in_winter_and_in_summer_time() -> None:
    (winter,) = get_telegrams(read(read_real("dsmr_v5")))
    (summer,) = get_telegrams(read(read_real("sagemcom_t210_wh")))
    assert winter.time_ms == 1_483_381_202_000  # 2 January 2017, 19:20:02 at +1
    assert summer.time_ms == 1_665_064_214_000  # 6 October 2022, 15:50:14 at +2
    (timeless,) = get_telegrams(read(read_real(WITHOUT_CRC)))
    assert timeless.time_ms is None


def test_the_meters_own_number_is_known_where_it_says_it() -> None:
    (telegram,) = get_telegrams(read(read_real("dsmr_v5")))
    assert telegram.equipment == "4B384547303034303436333935353037"


@pytest.mark.parametrize("name", ["dsmr_v5", "sagemcom_t210_wh"])
def test_no_changed_byte_of_a_telegram_with_checksum_gives_other_registers(name: str) -> None:
    whole = read_real(name)
    chance = random.Random(name)
    for position in range(len(whole)):
        spoilt = bytearray(whole)
        spoilt[position] ^= 1 << chance.randrange(8)
        # What follows is a whole telegram: it must be heard whatever came before.
        found = get_telegrams(read(bytes(spoilt), whole))
        assert {(each.import_wh, each.export_wh) for each in found} == {REAL[name]}, position


@pytest.mark.parametrize("name", ["dsmr_v5", WITHOUT_CRC])
def test_a_telegram_cut_anywhere_is_dropped_and_the_next_one_is_heard(name: str) -> None:
    whole = read_real(name)
    for length in range(whole.rindex(b"!")):
        found = read(whole[:length], b"\r\n", whole)
        assert [(each.import_wh, each.export_wh) for each in get_telegrams(found)] == [REAL[name]], length
        assert len(get_reasons(found)) == 1, length


@given(cuts=st.lists(st.integers(0, 4000), max_size=30))
@settings(deadline=None, max_examples=30)
def test_however_the_bytes_are_parted_the_same_is_found(cuts: list[int]) -> None:
    stream = b"\xff\x00noise\r\n".join([read_real(name) for name in sorted(REAL)])
    places = [0, *sorted(cuts), len(stream)]
    parts = [stream[a:b] for a, b in pairwise(places)]
    assert read(*parts) == read(stream)
    assert len(get_telegrams(read(stream))) == len(REAL)


def test_a_wrong_checksum_is_named() -> None:
    whole = read_real("dsmr_v5")
    assert get_reasons(read(whole.replace(b"!6EEE", b"!6EEF"))) == [DropReason.CRC_WRONG]


def test_a_meter_that_owes_a_checksum_is_not_believed_without_one() -> None:
    whole = read_real("dsmr_v5")
    assert get_reasons(read(whole.replace(b"!6EEE", b"!"))) == [DropReason.CRC_MISSING]


def test_noise_between_telegrams_is_counted_once_for_each_run() -> None:
    whole = read_real("dsmr_v5")
    noise = b"\x00\x7f\xfe\r\nmore\r\nand more\r\n"
    found = read(noise, whole, noise, whole)
    assert get_reasons(found) == [DropReason.NOISE, DropReason.NOISE]
    assert len(get_telegrams(found)) == 2


def test_a_telegram_that_begins_behind_noise_on_its_line_is_heard() -> None:
    found = read(b"\xfe\xff", read_real("dsmr_v5"))
    assert get_reasons(found) == [DropReason.NOISE]
    assert len(get_telegrams(found)) == 1


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"1-0:1.8.1(000004.426*kWh)", b"1-0:9.9.9(1)", DropReason.REGISTER_MISSING),
        (b"1-0:1.8.2(000002.399*kWh)\r\n", b"", DropReason.REGISTER_MISSING),
        (b"000004.426*kWh", b"000004,426*kWh", DropReason.NUMBER_INVALID),
        (b"000004.426*kWh", b"0000.4.426*kWh", DropReason.NUMBER_INVALID),
        (b"000004.426*kWh", b"9" * 24 + b"*kWh", DropReason.NUMBER_INVALID),
        (b"000004.426*kWh", b"9" * 3000 + b"*kWh", DropReason.NUMBER_INVALID),
        (b"000004.426*kWh", b"000004.426*kvarh", DropReason.UNIT_UNKNOWN),
        (b"170102192002W", b"171302192002W", DropReason.TIME_INVALID),
        (b"170102192002W", b"170102192002X", DropReason.TIME_INVALID),
    ],
)
def test_a_telegram_whose_checksum_is_right_may_still_say_nothing_of_use(
    old: bytes, new: bytes, reason: DropReason
) -> None:
    assert get_reasons(read(reseal("dsmr_v5", old, new))) == [reason]


def test_a_register_without_checksum_that_is_there_twice_is_not_believed() -> None:
    whole = read_real(WITHOUT_CRC)
    line = b"1-0:1.8.0*255(00052185.7825309*kWh)\r\n"
    found = read(whole.replace(line, line + line.replace(b"52185", b"52186")))
    assert get_reasons(found) == [DropReason.LINE_MALFORMED]


def test_four_tariffs_are_added_up_and_the_total_wins_where_there_is_one() -> None:
    tariff = b"1-0:1.8.2(000002.399*kWh)\r\n"
    more = tariff + b"1-0:1.8.3(000010.000*kWh)\r\n1-0:1.8.4(000020.000*kWh)\r\n"
    (added,) = get_telegrams(read(reseal("dsmr_v5", tariff, more)))
    assert added.import_wh == 6_825 + 30_000
    total = tariff + b"1-0:1.8.0(000007.000*kWh)\r\n"
    (told,) = get_telegrams(read(reseal("dsmr_v5", tariff, total)))
    assert told.import_wh == 7_000


@given(import_wh=st.integers(0, 999_999_000), export_wh=st.integers(0, 999_999_000))
@settings(max_examples=100)
def test_every_register_comes_out_exactly_as_it_was_sent(import_wh: int, export_wh: int) -> None:
    (telegram,) = read(build_telegram(1_700_000_000, import_wh, export_wh))
    assert telegram == Telegram(WattHours(import_wh), WattHours(export_wh), UnixMs(1_700_000_000_000), "4B38")


@pytest.mark.parametrize(
    ("bomb", "kilobytes"),
    [(b"/", 10_240), (b"\xff", 10_240), (b"(", 10_240), (b"/KFM5\r\n", 256), (b"!\r\n", 256), (b"\n", 256)],
)
def test_megabytes_of_anything_are_dropped_without_growing(bomb: bytes, kilobytes: int) -> None:
    chunk = (bomb * 4096)[:4096]
    reader = TelegramReader()
    for _ in range(kilobytes // 4):
        for found in reader.feed(chunk):
            assert isinstance(found, Dropped)
        assert reader.kept_bytes <= TELEGRAM_BYTES_MAX + LINE_BYTES_MAX
    after = [found for part in (b"\r\n", read_real("dsmr_v5")) for found in reader.feed(part)]
    assert len(get_telegrams(after)) == 1


def test_one_telegram_of_ten_megabytes_is_one_drop() -> None:
    line = b"0-0:96.13.0(" + b"41" * 1000 + b")\r\n"
    found = read(b"/KFM5\r\n", *([line] * 5000), b"!0000\r\n", read_real("dsmr_v5"))
    assert get_reasons(found) == [DropReason.TELEGRAM_TOO_LONG]
    assert len(get_telegrams(found)) == 1


@given(data=st.binary(max_size=3000))
@settings(max_examples=200)
def test_no_bytes_raise_and_none_keep_a_telegram_from_being_heard(data: bytes) -> None:
    found = read(data, b"\r\n", read_real("dsmr_v5"))
    assert get_telegrams(found)[-1].import_wh == 6_825
