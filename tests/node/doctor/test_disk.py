"""The disk has room, takes writes in time, is not worn, and is not read-only; what cannot be told is said to be so."""

import os
from errno import EACCES
from pathlib import Path

import pytest

from node.doctor import disk
from node.doctor.disk import (
    MIB,
    Mount,
    Space,
    check_inodes,
    check_mount,
    check_space,
    check_sync,
    check_wear,
    check_written,
    find_mount,
    find_smart_percent,
    read_space,
)
from node.doctor.findings import Level

MOUNTS = """\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
33 21 179:2 / /srv/my\\040node rw,relatime shared:2 - ext4 /dev/mmcblk0p2 ro,errors=remount-ro
34 21 0:30 / /run rw - tmpfs tmpfs rw
broken line
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with one disk and an eMMC, as /proc and /sys show it."""
    for name, text in {
        "proc/self/mountinfo": MOUNTS,
        "proc/uptime": "43200.00 80000.00\n",
        "sys/devices/mmcblk0/stat": "1 2 3 4 5 6 41943040 8 9 10 11\n",
        "sys/devices/mmcblk0/device/life_time": "0x03 0x09\n",
        "sys/devices/mmcblk0/mmcblk0p2/partition": "2\n",
        "sys/devices/mmcblk0/mmcblk0p2/stat": "1 2 3 4 5 6 41943040 8 9 10 11\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "sys/dev/block").mkdir(parents=True)
    (tmp_path / "sys/dev/block/179:2").symlink_to(tmp_path / "sys/devices/mmcblk0/mmcblk0p2")
    (tmp_path / "sys/block").mkdir()
    (tmp_path / "sys/block/mmcblk0").symlink_to(tmp_path / "sys/devices/mmcblk0")
    return tmp_path


CARD = Mount("/srv/my node", "179:2", "ext4", is_read_only=True)


@pytest.mark.parametrize(
    ("total", "free", "level"),
    [
        (30_000, 20_000, Level.OK),
        (30_000, 700, Level.WARNING),
        (30_000, 200, Level.PROBLEM),
        (4_000_000, 100_000, Level.WARNING),
        (4_000_000, 20_000, Level.PROBLEM),
    ],
)
def test_space_is_judged_by_bytes_and_by_share(total: int, free: int, level: Level) -> None:
    assert check_space(Space(total * MIB, free * MIB, 10**6, 10**5)).level is level


@pytest.mark.parametrize(
    ("inodes", "free", "level"), [(10**6, 10**5, Level.OK), (10**6, 3, Level.PROBLEM), (0, 0, Level.OK)]
)
def test_names_may_run_out_before_bytes_where_they_are_counted(inodes: int, free: int, level: Level) -> None:
    assert check_inodes(Space(10**9, 10**9, inodes, free)).level is level


def test_a_sync_is_measured_and_leaves_nothing_behind(tmp_path: Path) -> None:
    found = check_sync(tmp_path)
    assert found.measures["median_ms"] <= found.measures["longest_ms"]  # type: ignore[operator]  # two numbers
    assert list(tmp_path.iterdir()) == []
    assert read_space(tmp_path).total > 0


def test_a_directory_that_takes_no_write_is_a_problem(tmp_path: Path) -> None:
    found = check_sync(tmp_path / "gone")
    assert found.level is Level.PROBLEM
    assert "nothing can be written" in found.said


def test_a_directory_that_somebody_else_may_write_to_is_unknown_and_not_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = tmp_path.stat().st_uid

    def refuse(*_: object) -> list[float]:
        raise PermissionError(EACCES, os.strerror(EACCES))

    monkeypatch.setattr(disk, "measure_sync", refuse)  # root may write everywhere
    assert check_sync(tmp_path).level is Level.PROBLEM  # the node's own user may not
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    found = check_sync(tmp_path)
    assert found.level is Level.WARNING
    assert f"unknown: user {owner + 1} may not write" in found.said
    assert f"belongs to user {owner}" in found.said


def test_the_mount_of_a_path_is_the_deepest_above_it(root: Path) -> None:
    assert find_mount(root, Path("/srv/my node/home")) == CARD
    found = find_mount(root, Path("/etc"))
    assert found == Mount("/", "8:1", "ext4", is_read_only=False)
    assert check_mount(found).level is Level.OK
    assert check_mount(CARD).level is Level.PROBLEM
    assert check_mount(None).level is Level.OK


def test_what_is_written_a_day_is_counted_from_the_start_of_the_machine(root: Path) -> None:
    found = check_written(root, CARD)
    assert found.level is Level.WARNING
    assert found.measures["bytes_per_day"] == 41943040 * 512 * 2
    assert check_written(root, Mount("/", "8:1", "ext4", is_read_only=False)).said.endswith(
        "cannot be told here"
    )


@pytest.mark.parametrize(
    ("life", "level", "percent"),
    [
        ("0x03 0x02", Level.OK, 30),
        ("0x03 0x09", Level.WARNING, 90),
        ("0x0b 0x01", Level.PROBLEM, 110),
        ("0x00 0x00", Level.OK, None),
        ("nonsense", Level.OK, None),
    ],
)
def test_a_worn_card_is_told_by_its_worse_estimate(
    root: Path, life: str, level: Level, percent: int | None
) -> None:
    (root / "sys/devices/mmcblk0/device/life_time").write_text(life)
    found = check_wear(root, CARD)
    assert (found.level, found.measures.get("used_percent")) == (level, percent)


@pytest.mark.parametrize(
    ("told", "percent"),
    [
        ({"nvme_smart_health_information_log": {"percentage_used": 12}}, 12),
        ({"endurance_used": {"current_percent": 81}}, 81),
        ({"endurance_used": "much"}, None),
        ([], None),
        ({}, None),
    ],
)
def test_smartctl_is_read_where_it_knows(told: object, percent: int | None) -> None:
    assert find_smart_percent(told) == percent
