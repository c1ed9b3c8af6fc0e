"""Every dependency of the product installs from a wheel on x86-64 and aarch64, under Python 3.11 and 3.12."""

import pytest

from tests.architecture.source_tree import ROOT
from tests.architecture.wheels import (
    TABLE,
    TARGETS,
    Target,
    Wheel,
    find_faults,
    list_product,
    read_pins,
    read_table,
    render_table,
)

REQUIREMENTS = (ROOT / "requirements.txt").read_text(encoding="utf-8")
TEXT = TABLE.read_text(encoding="utf-8")
FIRST = TARGETS[0].name


def test_the_table_has_a_pinned_wheel_for_every_dependency_and_machine() -> None:
    assert list(find_faults(read_table(TEXT), REQUIREMENTS)) == [], "run `make wheels`"


def test_the_table_is_as_it_is_written() -> None:
    assert render_table(read_table(TEXT)) == TEXT


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_the_product_is_more_than_it_asks_for_and_no_tool_of_development(target: Target) -> None:
    product = set(list_product(read_pins(REQUIREMENTS, target), target))
    assert {"aiohttp", "multidict", "cffi", "numpy", "pyserial"} <= product
    assert not {"pytest", "mypy", "ruff", "hypothesis"} & product


def test_each_machine_gets_its_build_of_the_store() -> None:
    stores = {
        target.machine: {"plyvel", "plyvel-ci"} & set(list_product(read_pins(REQUIREMENTS, target), target))
        for target in TARGETS
    }
    assert stores == {"x86_64": {"plyvel"}, "aarch64": {"plyvel-ci"}}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"msgspec": None}, "msgspec has no wheel"),
        ({"pytest": Wheel("pytest-9.2.0-py3-none-any.whl", "0" * 64)}, "pytest is not of the product"),
        (
            {"msgspec": Wheel("msgspec-0.0.1-cp311-cp311-manylinux_2_17_x86_64.whl", "0" * 64)},
            "is not msgspec==",
        ),
        (
            {"msgspec": Wheel("msgspec-0.0.1-cp311-cp311-manylinux_2_17_aarch64.whl", "0" * 64)},
            "another machine",
        ),
        (
            {"msgspec": Wheel("msgspec-0.0.1-cp312-cp312-manylinux_2_17_x86_64.whl", "0" * 64)},
            "another machine",
        ),
        (
            {"msgspec": Wheel("msgspec-0.0.1-cp311-cp311-manylinux_2_17_x86_64.whl", "0" * 64)},
            "is not pinned",
        ),
    ],
)
def test_a_wheel_that_is_missing_or_wrong_is_found(change: dict[str, Wheel | None], fault: str) -> None:
    table = read_table(TEXT)
    changed = {**table[FIRST], **change}
    spoiled = {**table, FIRST: {name: wheel for name, wheel in changed.items() if wheel is not None}}
    faults = list(find_faults(spoiled, REQUIREMENTS))
    assert any(fault in each for each in faults)
    assert all(each.startswith(FIRST) for each in faults)


def test_a_new_pin_needs_a_new_table() -> None:
    pin = str(read_pins(REQUIREMENTS, TARGETS[0])["msgspec"].specifier)
    faults = list(find_faults(read_table(TEXT), REQUIREMENTS.replace(f"msgspec{pin}", "msgspec==99.0")))
    assert len(faults) == len(TARGETS)
