"""The telegrams of real meters, and telegrams with other registers and times in their shape."""

from datetime import UTC, datetime
from pathlib import Path

from meter.sources.p1 import compute_crc

TELEGRAMS = Path(__file__).parent.parent / "telegrams"
REAL = {
    "dsmr_v4_2_kaifa": (3_016_829, 0),  # 1581.123 + 1435.706 kWh
    "dsmr_v5": (6_825, 2_444),  # 4.426 + 2.399 and 2.444 + 0.000 kWh
    "easymeter_q3d_d0": (52_185_782, 19_949_322),  # 52185.7825309 and 19949.3221493 kWh
    "sagemcom_t210_wh": (6_545_766, 58),  # in Wh
}
"""What each of them says in Wh, added up by hand."""


def read_real(name: str) -> bytes:
    return (TELEGRAMS / f"{name}.txt").read_bytes()


def seal(content: bytes) -> bytes:
    """A telegram from `/` to `!` with its checksum."""
    return content + b"%04X\r\n" % compute_crc(content)


def build_telegram(time_s: int, import_wh: int, export_wh: int, equipment: str = "4B38") -> bytes:
    """What a DSMR 5 meter sends in winter time: its registers in two tariffs."""
    stamp = datetime.fromtimestamp(time_s + 3600, UTC).strftime("%y%m%d%H%M%S")
    lines = [
        "/ISk5\\2MT382-1000",
        "",
        "1-3:0.2.8(50)",
        f"0-0:1.0.0({stamp}W)",
        f"0-0:96.1.1({equipment})",
        f"1-0:1.8.1({import_wh // 3 // 1000:06d}.{import_wh // 3 % 1000:03d}*kWh)",
        f"1-0:1.8.2({(import_wh - import_wh // 3) // 1000:06d}.{(import_wh - import_wh // 3) % 1000:03d}*kWh)",
        f"1-0:2.8.1({export_wh // 1000:06d}.{export_wh % 1000:03d}*kWh)",
        "1-0:2.8.2(000000.000*kWh)",
        "!",
    ]
    return seal("\r\n".join(lines).encode())


CHARGER_KEY = (
    "3059301306072a8648ce3d020106082a8648ce3d030107034200045cd4cecc42489e98ed3ff71498051f780f364"
    "86d4d44d867d998185784e7da57eef71a40d6a6ad113d47bbf3110bf1185c3ae463317ab00673043abcbcd4054b"
)
"""A charger's public key, made for these tests."""
CHARGER_RECORD = (
    b'OCMF|{"FV":"1.0","GI":"charger","PG":"T12345","MS":"BQ1","RD":[{"TM":"2018-07-24'
    b'T13:15:02,250+0200 S","RV":2935.6,"RI":"1-b:1.8.0","RU":"kWh","EF":"","ST":"G"}]}|'
    b'{"SA": "ECDSA-secp256r1-SHA256", "SD": "304602210099354f03eb794befc4f942018119541005e0f40ec21'
    b'a05f76ff0c3ccebd9ca7a02210099a926d277178148ea3bfd3a0d087384c2b534d955d6af85ccc453951f6f4252"}'
)
"""A record that it signed."""
