"""A bill, a balance and a receipt are kept in files that prove themselves, whoever validates by then."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.failure import ExitCode
from cli.verify import tell
from meter.verification import Certification, Problem, VerifiedReceipt, Verifier
from tests.cli.conftest import Command, Ended
from tests.cli.test_across_epochs import Desk, open_desk
from tests.node.api.rim import open_rim, run
from tests.node.community import Community, build_settled_community, make_meter_account
from vm.genesis import decode_genesis
from vm.receipt import Receipt, Rejection
from vm.transaction import Call, Transaction

ASKED = {
    "bill": ("bill", "home-0", "--day", "0", "--save"),
    "balance": ("balance", "home-0", "--save"),
    "receipt": ("tx", "proof", "NEWEST", "-o"),
}


async def keep(desk: Desk, community: Community, kind: str) -> tuple[Path, Ended]:
    """Ask a validator for a proof and keep it."""
    newest = community.chain.blocks[community.header.height].batch.header.transaction_ids[0].hex()
    file = desk.home / f"{kind}.proof"
    ended = await desk.ask(*(newest if word == "NEWEST" else word for word in ASKED[kind]), file)
    return file, ended


@pytest.mark.parametrize("kind", ASKED)
def test_what_was_kept_is_proven_without_a_validator_after_two_changes_of_them(
    gridbft: Command, tmp_path: Path, kind: str
) -> None:
    async def scenario() -> None:
        async with open_desk(gridbft, tmp_path) as (desk, community):
            file, kept = await keep(desk, community, kind)
        assert kept.code == ExitCode.OK, kept.err
        ended = gridbft("verify", file, "--genesis", tmp_path / "genesis.bin")
        assert ended.code == ExitCode.OK, ended.err
        assert "epoch 2, by node1, node3, node2 (3 of 4, 3 are a quorum)" in ended.out.splitlines()[-1]
        assert ended.line == "verified offline, against the genesis of test-street alone"
        told = json.loads(gridbft("--home", tmp_path, "verify", file, "--json").out)
        assert (told["verified"], told["kind"], told["certification"]["epoch"]) == (True, kind, 2)
        verifier = Verifier(decode_genesis((tmp_path / "genesis.bin").read_bytes()))
        content = file.read_bytes()
        for place in range(len(content)):
            changed = bytearray(content)
            changed[place] ^= 0x10
            assert isinstance(verifier.verify(bytes(changed)), Problem), place

    run(scenario())


def test_what_a_refused_transaction_says_comes_to_no_terminal_as_it_is() -> None:
    call = Call("\x1b[2J\x9b", "grant\u202e\n", b"")
    transaction = Transaction(1, bytes(8), bytes(16), bytes(32), 0, 9, call, bytes(64))
    receipt = Receipt(bytes(32), Rejection.CONTRACT_UNKNOWN, consumed=False)
    certification = Certification("street", "EUR", 1, 0, 0, ("node0",), 4, 3)
    sentences = tell(VerifiedReceipt(certification, 1, 0, 0, receipt, transaction, None))
    assert f"  account {bytes(16).hex()} asked ?[2J?: grant??" in sentences
    assert all(sentence.isprintable() for sentence in sentences)


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (lambda content: content[:-1], "MALFORMED"),
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "HANDOVER_UNPROVEN"),
        (lambda content: b"", "UNKNOWN_KIND"),
        (lambda content: content.replace(b"prosumer", b"producer"), "VALUE_NOT_IN_STATE"),
    ],
)
def test_a_spoiled_file_is_refused_in_one_line_with_its_name(
    gridbft: Command, tmp_path: Path, spoil: Callable[[bytes], bytes], name: str
) -> None:
    async def scenario() -> None:
        async with open_desk(gridbft, tmp_path) as (desk, community):
            file, _ = await keep(desk, community, "balance")
        file.write_bytes(spoil(file.read_bytes()))
        ended = gridbft("--home", tmp_path, "verify", file)
        assert (ended.code, ended.out) == (ExitCode.ERROR, "")
        assert f"proves nothing: {name}: " in ended.line
        told = gridbft("--home", tmp_path, "verify", file, "--json")
        assert told.code == ExitCode.ERROR
        assert json.loads(told.out)["problem"] == name

    run(scenario())


def test_the_sentences_of_a_kept_bill_are_told_again(gridbft: Command, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_desk(gridbft, tmp_path) as (desk, community):
            file, _ = await keep(desk, community, "bill")
            asked = await desk.ask("bill", "home-0", "--day", "0", "--explain")
        told = gridbft("--home", tmp_path, "verify", file, "--explain")
        assert told.out.splitlines()[0] == asked.out.splitlines()[0]
        assert "you fed in 2.000 kWh" in told.out

    run(scenario())


def test_a_file_is_kept_once_and_never_written_over(gridbft: Command, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_desk(gridbft, tmp_path) as (desk, community):
            for kind in ASKED:
                file, _ = await keep(desk, community, kind)
                content = file.read_bytes()
                _, again = await keep(desk, community, kind)
                assert again.code == ExitCode.USAGE
                assert "there is a file of this name" in again.line
                assert file.read_bytes() == content

    run(scenario())


def test_a_receipt_is_kept_without_its_transaction_where_the_block_was_let_go(
    gridbft: Command, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with open_desk(gridbft, tmp_path) as (desk, community):
            newest = community.chain.blocks[community.header.height].batch.header.transaction_ids[0].hex()
            community.chain.blocks.clear()
            file = tmp_path / "receipt.proof"
            kept = await desk.ask("tx", "proof", newest, "-o", file)
            assert kept.code == ExitCode.OK, kept.err
        told = json.loads(gridbft("--home", tmp_path, "verify", file, "--json").out)
        assert (told["receipt"]["transaction_id"], told["transaction"]) == (newest, None)
        again = gridbft("--home", tmp_path, "tx", "proof", newest, "--from", file)
        assert (again.code, again.out) == (ExitCode.OK, kept.out)

    run(scenario())


def test_a_balance_is_verified_where_it_is_shown(gridbft: Command, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_rim(build_settled_community()) as rim:
            desk = Desk(gridbft, rim, tmp_path)
            ended = await desk.ask("balance", "home-1", "--verify")
            assert ended.code == ExitCode.OK, ended.err
            assert "which 3 of 4 validators signed" in ended.err
            assert ended.out == (await desk.ask("balance", "home-1")).out
            account = make_meter_account(1).hex().upper()
            assert (await desk.ask("balance", account, "--verify")).out == ended.out
            empty = await desk.ask("balance", "node0", "--verify")
            assert empty.code == ExitCode.ERROR
            assert "nothing was ever booked on node0" in empty.line

    run(scenario())


def test_a_day_without_a_settled_slot_is_not_kept(gridbft: Command, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_rim(build_settled_community()) as rim:
            file = tmp_path / "none.proof"
            ended = await Desk(gridbft, rim, tmp_path).ask("bill", "home-1", "--day", "5", "--save", file)
            assert ended.code == ExitCode.ERROR
            assert "nothing to keep" in ended.line
            assert not file.exists()

    run(scenario())


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["nowhere.proof"], ExitCode.USAGE, "No such file"),
        (["."], ExitCode.USAGE, "Is a directory"),
        (["nowhere.proof", "--genesis", "nowhere.bin"], ExitCode.USAGE, "nowhere.bin"),
        ([], ExitCode.USAGE, "Missing argument"),
    ],
)
def test_a_file_that_is_not_there_is_named(
    gridbft: Command, network: Path, arguments: list[str], code: ExitCode, line: str
) -> None:
    ended = gridbft("--home", network, "verify", *arguments)
    assert ended.code == code
    assert line in ended.line


def test_a_kept_bill_is_no_receipt(gridbft: Command, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_desk(gridbft, tmp_path) as (desk, community):
            file, _ = await keep(desk, community, "bill")
            ended = await asyncio.to_thread(
                gridbft, "--home", tmp_path, "tx", "proof", "00" * 32, "--from", file
            )
            assert ended.code == ExitCode.USAGE
            assert "no receipt" in ended.line

    run(scenario())
