"""What `gridbft inspect` finds, in lines for a person."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cli.console import JSON_SEPARATORS, talk
from cli.money import format_money
from primitives.limits import TRANSACTION_BYTES_MAX
from primitives.text import to_line

if TYPE_CHECKING:
    from node.inspected_chain import StatePage, StoredAccount, StoredBlock, StoredTransaction
    from node.inspected_journal import ShownJournal
    from node.state_records import StateEntry

ARGUMENTS_CHARACTERS_MAX = 4 * TRANSACTION_BYTES_MAX
"""All of a transaction's: bytes are two digits each, and every field has its name beside it."""


def list_block(found: "StoredBlock") -> Iterator[str]:
    """Yield a block: header, signers, then one line for each transaction of the page."""
    header = found.header if isinstance(found.header, Mapping) else {}
    place = f"epoch {header['epoch']}, sequence {header['sequence']}"
    yield f"block {header['height']}, {place}, {show_time(header['time_ms'])}"
    yield f"digest          {found.digest}"
    for name in ("parent", "state_root", "receipts_root", "batch_digest"):
        yield f"{name.replace('_', ' '):15} {header[name]}"
    if found.proposer is not None:
        yield f"proposer        {found.proposer}"
    signers = f"{', '.join(found.signers)} ({len(found.signers)} signatures, {found.quorum} are a quorum)"
    yield f"certificate     {signers if found.signers else 'none here; the peers have it'}"
    if found.problem is not None:
        yield f"DAMAGED: {found.problem}"
    yield f"{found.transactions} transactions"
    for each in found.page:
        who = each.account_name or each.account
        yield f"  {each.place:4} {each.id}  {to_line(each.call)}  {who}  {show_result(each)}"


def list_transaction(found: "StoredTransaction") -> Iterator[str]:
    """Yield a transaction with its arguments."""
    yield f"{show_result(found)}, in block {found.height} at place {found.place}"
    yield f"call         {to_line(found.call)}"
    yield f"arguments    {to_line(show_value(found.arguments), ARGUMENTS_CHARACTERS_MAX)}"
    yield f"account      {found.account}" + (f" ({found.account_name})" if found.account_name else "")
    yield f"public key   {found.public_key}"
    yield f"nonce        {found.nonce}, valid until block {found.valid_until}" + (
        "" if found.consumed else "; not consumed, so it may still be applied"
    )


def list_page(shown: object) -> list[str]:
    """Return an account, a pair or a page of pairs in lines; nothing for anything else."""
    from node.inspected_chain import StatePage, StoredAccount
    from node.state_records import StateEntry

    if isinstance(shown, StoredAccount):
        return list(_list_account(shown))
    if isinstance(shown, StateEntry):
        return [_show_entry(shown)]
    if isinstance(shown, StatePage):
        return _list_entries(shown)
    return []


def list_summary(shown: object) -> Iterator[str]:
    """Yield how much lies under each prefix."""
    from node.inspected_chain import StateSummary

    if not isinstance(shown, StateSummary):
        return
    yield f"state of block {shown.height}, root {shown.state_root}"
    yield "prefix  record              keys      bytes"
    for prefix, kind, count, size in shown.prefixes:
        yield f"{prefix:6}  {kind:16}  {count:6}  {size:9}"


def list_journal(found: "ShownJournal") -> Iterator[str]:
    """Yield what a journal holds, what it promises, its damage, then its records."""
    promise = found.promise
    yield f"journal of {found.size} bytes, generation {found.generation}, {found.records} records: {found.verdict}"
    place = "works in" if promise.is_view_active else "waits for"
    yield f"promises: {place} view {promise.view} of epoch {promise.epoch}"
    if promise.signed_height is not None:
        yield f"promises: last signed header is of block {promise.signed_height}, {promise.signed_digest}"
    if promise.voted is not None:
        yield f"promises: last vote is a {promise.voted}"
    if promise.certified_height is not None:
        yield f"settled: block {promise.certified_height} had its certificate when the journal was rewritten"
    if promise.is_silenced:
        yield "promises: to vote for nothing, because its past is unknown"
    for damage in found.damages:
        yield f"DAMAGED: {damage}"
    for each in found.page:
        yield f"{each.number:5} at {each.offset:8}  {each.copies:6}  {each.line}: {each.meaning}"


def say_more(left: int, following: int) -> None:
    """Say on standard error that there are more, and how to see them."""
    if left > 0:
        talk(f"{left} more: --from {following}")


def show_result(found: "StoredTransaction") -> str:
    """Return what became of a transaction."""
    return "applied" if found.rejection is None else f"refused: {found.rejection}"


def show_value(value: object) -> str:
    """Return a record in one line."""
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=JSON_SEPARATORS, ensure_ascii=False)


def show_time(time_ms: int) -> str:
    """Return UTC milliseconds as a person writes them."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _list_account(found: "StoredAccount") -> Iterator[str]:
    yield f"account      {found.account}"
    if isinstance(found.record, Mapping):
        for name, value in found.record.items():
            told = ("yes" if value else "no") if isinstance(value, bool) else value
            yield f"{name:12} {told}"
    yield f"{'settlement':12} {format_money(found.settlement_nano)}"
    yield f"{'coins':12} {found.coins}"


def _list_entries(page: "StatePage") -> list[str]:
    if page.following is not None:
        talk(f"more: --from {page.following}")
    return [_show_entry(each) for each in page.entries] or ["no key begins so"]


def _show_entry(entry: "StateEntry") -> str:
    return f"{entry.prefix}  {entry.key}  {entry.kind} {show_value(entry.value)}"
