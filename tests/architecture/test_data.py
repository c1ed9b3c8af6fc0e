"""The sample data is what its sources say: unchanged, and with its licence beside it."""

import hashlib
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT

DATA = ROOT / "cli" / "demo" / "data"

SOURCES = {
    "citylearn": (
        "LICENSE.txt",
        "Copyright (c) 2020 Jose Ramon Vazquez-Canteli, Intelligent Environments Laboratory",
    ),
    "simbench": (
        "NOTICE.md",
        (
            "Contains information from SimBench (Univ. of Kassel, TU Dortmund, RWTH Aachen, Fraunhofer IEE), "
            "made available under the ODbL"
        ),
    ),
    "opsd": ("NOTICE.md", "Open Power System Data, Household Data, ISC Konstanz / CoSSMic (EU FP7)"),
}


def differing(folder: Path) -> list[str]:
    """Name the files of a folder that SHA256SUMS lists differently, not at all, or that are missing."""
    lines = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    listed = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    actual = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.csv")}
    return sorted(name for name in listed.keys() | actual.keys() if listed.get(name) != actual.get(name))


def test_every_folder_of_sample_data_has_a_known_source() -> None:
    assert {path.name for path in DATA.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(
        SOURCES
    )


@pytest.mark.parametrize("source", SOURCES)
def test_the_sample_data_is_unchanged(source: str) -> None:
    assert differing(DATA / source) == []


@pytest.mark.parametrize(("source", "notice"), SOURCES.items())
def test_the_notice_its_licence_asks_for_is_beside_the_data(source: str, notice: tuple[str, str]) -> None:
    name, sentence = notice
    assert sentence in (DATA / source / name).read_text(encoding="utf-8")


def test_a_changed_or_unlisted_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "SHA256SUMS").write_text(f"{hashlib.sha256(b'1').hexdigest()}  a.csv\n{'0' * 64}  gone.csv\n")
    (tmp_path / "a.csv").write_bytes(b"2")
    (tmp_path / "new.csv").write_bytes(b"")
    assert differing(tmp_path) == ["a.csv", "gone.csv", "new.csv"]
