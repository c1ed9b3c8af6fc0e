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
