"""What is in the spool survives everything, is sent as it was signed, and ends by proof only."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from meter.outcomes import RefusedByNetwork, build_proven_outcome
from meter.proofs import CertifiedHeight
from meter.spool import NONCES_AHEAD, Spool, SpoolEntry, SpoolRequest, SpoolState, open_spool
from meter.spool_file import (
    SpoolCorruptError,
    SpoolFailedError,
    SpoolForeignError,
    SpoolFullError,
    SpoolLockedError,
    SpoolNotExpiredError,
)
from primitives.ids import AccountId, Digest, Nonce
from tests.architecture.source_tree import ROOT
from tests.meter.networks import ANCHOR, METER, prove, sign_call
from vm.receipt import Receipt
from vm.transaction import SealedTransaction

OTHER_METER = AccountId(b"\x0b" * 16)


def request(subject: str, valid_until: int = 1000) -> SpoolRequest:
    return SpoolRequest(METER, subject, lambda nonce: sign_call(nonce, valid_until))


def settle(spool: Spool, entry: SpoolEntry, rejection: str | None = None, *, consumed: bool = True) -> None:
    record(spool, Digest(entry.transaction.id), rejection, consumed=consumed)


def record(spool: Spool, name: Digest, rejection: str | None = None, *, consumed: bool = True) -> None:
    spool.record_many([build_proven_outcome(prove((Receipt(name, rejection, consumed),), 0))])


def get_nonces(entries: list[SpoolEntry]) -> list[int]:
    return [entry.transaction.transaction.nonce for entry in entries]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "spool.db"


@pytest.fixture
def spool(path: Path) -> Iterator[Spool]:
    with open_spool(path, ANCHOR.genesis_hash) as opened:
        yield opened


def test_what_was_added_is_due_in_its_order_with_consecutive_nonces(spool: Spool) -> None:
    added = spool.add_many([request("a"), request("b"), request("c")])
    assert get_nonces(added) == [1, 2, 3]
    assert spool.get_due(10) == added
    assert spool.get_due(2) == added[:2]
    assert spool.count()[SpoolState.QUEUED] == 3


def test_each_account_has_its_own_nonces(spool: Spool) -> None:
    spool.raise_nonce(OTHER_METER, Nonce(40))
    assert spool.get_next_nonce(OTHER_METER) == 40
    assert spool.get_next_nonce(METER) == 1


def test_nonces_begin_where_the_account_left_off_elsewhere_and_never_go_back(spool: Spool) -> None:
    spool.raise_nonce(METER, Nonce(17))
    assert get_nonces([spool.add(request("a"))]) == [17]
    spool.raise_nonce(METER, Nonce(3))
    assert get_nonces([spool.add(request("b"))]) == [18]


def test_the_same_subject_twice_is_signed_once(spool: Spool) -> None:
    first = spool.add(request("a"))
    assert spool.add(request("a")) == first
    assert spool.add_many([request("b"), request("b")])[0] == spool.find(METER, "b")
    settle(spool, first)
    assert spool.add(request("a")).transaction.id == first.transaction.id
    assert len(spool.get_due(10)) == 1


def test_a_refused_subject_may_be_tried_again_under_a_new_nonce(spool: Spool) -> None:
    first = spool.add(request("a"))
    settle(spool, first, "METER_UNKNOWN")
    second = spool.add(request("a"))
    assert get_nonces([first, second]) == [1, 2]


def test_everything_is_there_after_reopening(path: Path) -> None:
    with open_spool(path, ANCHOR.genesis_hash) as spool:
        entries = spool.add_many([request(name) for name in "abcd"])
        spool.mark_sent(entries[:3])
        settle(spool, entries[0])
        settle(spool, entries[1], "READING_EXISTS")
    with open_spool(path, ANCHOR.genesis_hash) as spool:
        due = spool.get_due(10)
        assert [(entry.subject, entry.state) for entry in due] == [
            ("c", SpoolState.SENT),
            ("d", SpoolState.QUEUED),
        ]
        assert [entry.transaction.raw for entry in due] == [entry.transaction.raw for entry in entries[2:]]
        refused = spool.find(METER, "b")
        assert refused is not None
        assert (refused.state, refused.reason, refused.height) == (SpoolState.REFUSED, "READING_EXISTS", 7)
        assert spool.get_next_nonce(METER) == 5


def test_a_proof_is_kept_with_its_entry(spool: Spool) -> None:
    entry = spool.add(request("a"))
    assert spool.get_proof(entry.number) is None
    settle(spool, entry)
    proof = spool.get_proof(entry.number)
    assert proof is not None
    assert proof.receipt.transaction_id == entry.transaction.id


def test_a_refusal_that_spared_the_nonce_keeps_the_entry_open(spool: Spool) -> None:
    entry = spool.add(request("a"))
    settle(spool, entry, "SUSPENDED", consumed=False)
    (due,) = spool.get_due(10)
    assert (due.transaction.id, due.reason) == (entry.transaction.id, "SUSPENDED")
    assert spool.add(request("a")).transaction.id == entry.transaction.id
    settle(spool, entry)
    assert spool.get_entry(entry.number).state is SpoolState.COMMITTED


def test_a_proven_end_is_never_changed(spool: Spool) -> None:
    entry = spool.add(request("a"))
    settle(spool, entry)
    settle(spool, entry, "NONCE_USED")
    spool.note_many([(entry, "too late")])
    assert spool.get_entry(entry.number).state is SpoolState.COMMITTED
    assert spool.get_entry(entry.number).reason == ""


def test_an_outcome_of_a_stranger_changes_nothing(spool: Spool) -> None:
    entry = spool.add(request("a"))
    record(spool, Digest(sign_call(99).id))
    assert spool.get_due(10) == [entry]


def test_an_expired_entry_is_signed_again_under_its_nonce(spool: Spool) -> None:
    entry = spool.add(request("a", valid_until=50))
    renewed = spool.sign_again(entry, CertifiedHeight(51), lambda nonce: sign_call(nonce, 90))
    assert get_nonces([renewed]) == get_nonces([entry])
    assert renewed.transaction.id != entry.transaction.id
    assert spool.get_transaction_ids(entry.number) == [entry.transaction.id, renewed.transaction.id]
    assert spool.get_due(10) == [renewed]


def test_the_proof_of_either_transaction_ends_a_renewed_entry(spool: Spool) -> None:
    for number, is_first in enumerate((True, False)):
        entry = spool.add(request(f"reading {number}", valid_until=50))
        renewed = spool.sign_again(entry, CertifiedHeight(51), lambda nonce: sign_call(nonce, 90))
        record(spool, Digest((entry if is_first else renewed).transaction.id))
        assert spool.get_entry(entry.number).state is SpoolState.COMMITTED


@pytest.mark.parametrize("height", [0, 49, 50])
def test_an_entry_that_may_still_be_applied_is_not_signed_again(spool: Spool, height: int) -> None:
    entry = spool.add(request("a", valid_until=50))
    with pytest.raises(SpoolNotExpiredError, match="may still be applied"):
        spool.sign_again(entry, CertifiedHeight(height), lambda nonce: sign_call(nonce, 90))
    with pytest.raises(SpoolNotExpiredError, match="may still be applied"):
        spool.give_up(entry, CertifiedHeight(height), "typing error")
    assert spool.get_due(10) == [entry]


def test_a_finished_entry_is_not_signed_again(spool: Spool) -> None:
    entry = spool.add(request("a", valid_until=50))
    settle(spool, entry)
    with pytest.raises(SpoolNotExpiredError, match="committed already"):
        spool.sign_again(entry, CertifiedHeight(99), lambda nonce: sign_call(nonce, 200))


def refuse(entry: SpoolEntry, *, consumed: bool = True) -> RefusedByNetwork:
    receipt = Receipt(entry.transaction.id, "READING_OF_FUTURE", consumed)
    outcome = build_proven_outcome(prove((receipt,), 0))
    assert isinstance(outcome, RefusedByNetwork)
    return outcome


def sign_next(entry: SpoolEntry, refused: RefusedByNetwork, nonce: Nonce) -> SealedTransaction:
    assert refused.transaction_id == entry.transaction_id
    return sign_call(nonce)


def test_an_entry_whose_nonce_a_refusal_has_spent_is_signed_under_the_next(spool: Spool) -> None:
    entry, other = spool.add_many([request("a"), request("b")])
    spool.sign_under_next_nonce([(entry, refuse(entry))], sign_next)
    again = spool.get_entry(entry.number)
    assert (again.state, again.reason) == (SpoolState.QUEUED, "READING_OF_FUTURE")
    assert get_nonces([entry, other, again]) == [1, 2, 3]
    assert spool.get_due(10) == [again, other]
    settle(spool, entry, "READING_OF_FUTURE")  # shown once more: it says nothing of the new one
    assert spool.get_due(10) == [again, other]
    settle(spool, again)
    assert spool.get_entry(entry.number).state is SpoolState.COMMITTED
    assert get_nonces([spool.add(request("c"))]) == [4]


def test_what_may_still_be_applied_is_not_signed_under_another_nonce(spool: Spool) -> None:
    entry, other = spool.add_many([request("a"), request("b")])
    for refusal in (refuse(entry, consumed=False), refuse(other)):
        with pytest.raises(ValueError, match="has spent the nonce"):
            spool.sign_under_next_nonce([(other, refuse(other)), (entry, refusal)], sign_next)
    assert spool.get_due(10) == [entry, other]


def test_a_finished_entry_is_not_signed_under_another_nonce(spool: Spool) -> None:
    entry = spool.add(request("a"))
    settle(spool, entry)
    spool.sign_under_next_nonce([(entry, refuse(entry))], sign_next)
    assert spool.get_entry(entry.number).state is SpoolState.COMMITTED
    assert spool.get_due(10) == []


def test_a_given_up_entry_leaves_the_queue_and_its_nonce_is_not_used_again(spool: Spool) -> None:
    entry = spool.add(request("a", valid_until=50))
    spool.give_up(entry, CertifiedHeight(51), "READING_NOT_INCREASING")
    assert spool.get_due(10) == []
    assert spool.get_entry(entry.number).reason == "given up: READING_NOT_INCREASING"
    assert get_nonces([spool.add(request("b"))]) == [2]


def test_a_late_proof_corrects_what_was_given_up(spool: Spool) -> None:
    entry = spool.add(request("a", valid_until=50))
    spool.give_up(entry, CertifiedHeight(51), "no answer")
    settle(spool, entry)
    assert spool.get_entry(entry.number).state is SpoolState.COMMITTED


def test_no_account_runs_further_ahead_than_the_ledger_remembers(spool: Spool) -> None:
    entries = spool.add_many([request(f"reading {number}") for number in range(NONCES_AHEAD + 5)])
    assert len(spool.get_due(10_000)) == NONCES_AHEAD
    settle(spool, entries[1])
    assert len(spool.get_due(10_000)) == NONCES_AHEAD - 1
    settle(spool, entries[0])
    assert len(spool.get_due(10_000)) == NONCES_AHEAD


def test_a_full_spool_refuses_by_name_and_stores_nothing(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meter.spool.OPEN_MAX", 2)
    spool.add_many([request("a"), request("b")])
    with pytest.raises(SpoolFullError, match="reach a validator first"):
        spool.add_many([request("c")])
    assert spool.find(METER, "c") is None
    assert spool.get_next_nonce(METER) == 3


def test_long_finished_entries_are_forgotten_oldest_first(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meter.spool.FINISHED_KEPT", 2)
    entries = spool.add_many([request(name) for name in "abcde"])
    for entry in entries[:4]:
        settle(spool, entry)
    assert [spool.find(METER, name) is not None for name in "abcde"] == [False, False, True, True, True]
    assert spool.get_next_nonce(METER) == 6


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda nonce: sign_call(nonce + 1),
        lambda nonce: SealedTransaction(sign_call(nonce).transaction, b"") if nonce > 1 else sign_call(7),
    ],
)
def test_a_signer_that_takes_another_nonce_is_a_bug_and_stores_nothing(
    spool: Spool, spoilt: Callable[[Nonce], SealedTransaction]
) -> None:
    with pytest.raises(ValueError, match="another account or nonce"):
        spool.add(SpoolRequest(METER, "a", spoilt))
    assert spool.get_due(10) == []
    assert spool.get_next_nonce(METER) == 1


def test_a_signer_that_fails_leaves_the_spool_as_it_was(spool: Spool) -> None:
    def fail(nonce: Nonce) -> SealedTransaction:
        raise RuntimeError(f"no key for {nonce}")

    with pytest.raises(RuntimeError):
        spool.add_many([request("a"), SpoolRequest(METER, "b", fail)])
    assert spool.get_due(10) == []
    assert get_nonces([spool.add(request("c"))]) == [1]


def test_a_second_process_is_refused_by_name(path: Path) -> None:
    with (
        open_spool(path, ANCHOR.genesis_hash),
        pytest.raises(SpoolLockedError, match="another process"),
        open_spool(path, ANCHOR.genesis_hash),
    ):
        pass


def test_the_spool_of_another_network_is_refused(path: Path) -> None:
    with open_spool(path, ANCHOR.genesis_hash):
        pass
    with pytest.raises(SpoolForeignError, match="another network"), open_spool(path, Digest(bytes(32))):
        pass


@pytest.mark.parametrize("content", [b"this is no database at all" * 100, b"SQLite format 3\0" + bytes(500)])
def test_a_file_that_is_no_spool_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with (
        pytest.raises((SpoolCorruptError, SpoolFailedError)) as raised,
        open_spool(path, ANCHOR.genesis_hash) as spool,
    ):
        spool.get_due(1)
    assert "\n" not in str(raised.value)
    assert path.read_bytes() == content


def test_a_place_that_cannot_be_written_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(SpoolFailedError, match="cannot be opened"),
        open_spool(tmp_path / "file" / "spool.db", ANCHOR.genesis_hash),
    ):
        pass


def test_only_the_owner_may_read_the_spool(spool: Spool, path: Path) -> None:
    spool.add(request("a"))
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name


@pytest.mark.parametrize("lines", [0, 1, 2, 3, 4, 7, 11, 25])
def test_a_killed_process_loses_nothing_doubles_nothing_and_skips_no_nonce(path: Path, lines: int) -> None:
    told: list[list[str]] = []
    for _ in range(2):  # killed twice: a recovered spool is as good as a new one
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.meter.spool_process", path],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        with process.stdout as output:
            told += [output.readline().split() for _ in range(lines)]
            os.kill(process.pid, signal.SIGKILL)
            told += [line.split() for line in output if line.endswith("\n")]
        process.wait()
    with open_spool(path, ANCHOR.genesis_hash) as spool:
        due = spool.get_due(100_000)
        known = {entry.transaction.id.hex(): entry for entry in due}
        assert get_nonces(due) == list(range(1, len(due) + 1))
        assert [entry.subject for entry in due] == [f"reading {number}" for number in range(len(due))]
        for words in told:
            if words[0] == "stored":
                assert words[2] in known
            if words[0] == "sent":
                assert known[words[2]].state is SpoolState.SENT
        assert spool.get_next_nonce(METER) == len(due) + 1


def test_an_unproven_word_of_a_node_changes_no_state(spool: Spool) -> None:
    entry = spool.add(request("a"))
    spool.note_many([(entry, "ACCOUNT_UNKNOWN")])
    (due,) = spool.get_due(10)
    assert (due.state, due.reason) == (SpoolState.QUEUED, "ACCOUNT_UNKNOWN")


def test_outcomes_are_recorded_together(spool: Spool) -> None:
    entries = spool.add_many([request(name) for name in "ab"])
    receipts = tuple(Receipt(entry.transaction.id, None, True) for entry in entries)
    outcomes = [build_proven_outcome(prove(receipts, index)) for index in range(2)]
    assert not any(isinstance(outcome, RefusedByNetwork) for outcome in outcomes)
    spool.record_many(outcomes)
    assert spool.count() == {
        SpoolState.QUEUED: 0,
        SpoolState.SENT: 0,
        SpoolState.COMMITTED: 2,
        SpoolState.REFUSED: 0,
    }
