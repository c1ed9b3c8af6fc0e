"""Amounts as people read them, made from integers without a float on the way."""

NANO_PER_UNIT = 10**9
MICRO_PER_UNIT = 10**6
WH_PER_KWH = 1000


def format_kwh(wh: int) -> str:
    """Return Wh as kWh with all its digits."""
    sign = "-" if wh < 0 else ""
    return f"{sign}{abs(wh) // WH_PER_KWH}.{abs(wh) % WH_PER_KWH:03d}"


def format_money(nano: int, digits: int = 4) -> str:
    """Return nano-currency as currency, rounded half away from zero to ``digits`` (for people; JSON is exact)."""
    step = NANO_PER_UNIT // 10**digits
    rounded = (abs(nano) + step // 2) // step
    sign = "-" if nano < 0 and rounded else ""
    return f"{sign}{rounded // 10**digits}.{rounded % 10**digits:0{digits}d}"


def format_price(micro_per_kwh: int) -> str:
    """Return a price per kWh with as many digits as it needs, at least two."""
    text = f"{micro_per_kwh // MICRO_PER_UNIT}.{micro_per_kwh % MICRO_PER_UNIT:06d}".rstrip("0")
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction:0<2}"


def count(number: int, thing: str) -> str:
    """Return "1 block" or "2 blocks"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
