"""The benchmark of growth on a small scale: what it builds is a chain that a node starts from."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import growth
from benchmarks.growth_chain import make_account, make_home, open_builder
from node.storage.chain import ChainStore
from node.storage.integrity import check_everything
from node.storage.leveldb import open_leveldb
from vm.contracts.permissions import read_account


def test_what_is_built_is_a_whole_chain_that_goes_on_where_it_ended(tmp_path: Path) -> None:
    constitution = make_home(tmp_path)
    with open_builder(tmp_path, constitution) as builder:
        builder.register(0, 30, 20)
        builder.pay(3, 5, 30)
    with open_builder(tmp_path, constitution) as builder:
        builder.pay(2, 5, 30)
    with open_leveldb(tmp_path / "data" / "leveldb") as store:
        chain = ChainStore(store)
        check_everything(chain)
        assert chain.get_height() == 2 + 3 + 2
        certificate = chain.get_latest_certificate()
        assert certificate is not None
        assert certificate.header == chain.get_latest_header()
        assert all(read_account(chain, make_account(number)) for number in range(30))


def test_the_command_looks_at_every_size_of_history_and_of_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(growth, "HISTORY_ACCOUNTS", 20)
    monkeypatch.setattr(growth, "LOADED_BLOCKS", 2)
    monkeypatch.setattr(growth, "REGISTRATIONS_PER_BLOCK", 50)
    output = tmp_path / "out.json"
    monkeypatch.setattr(sys, "argv", ["growth", "--sizes", "60", "-o", str(output)])
    growth.main()
    runs = json.loads(output.read_text())["runs"]
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == runs
    assert [(run["grows"], run["blocks"], run["accounts"]) for run in runs] == [
        ("history", 60, 20),
        ("state", 2 + 2, 60),
    ]
    for run in runs:
        assert run["root_us_per_key"] > 0
        assert run["proof_us"] > 0
        assert run["start_s"] > 0
        assert run["disk_bytes"] > 0
