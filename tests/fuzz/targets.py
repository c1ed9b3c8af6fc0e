"""Every decoder of bytes that others write, as one table: a decoder that is added is one entry here.

A target takes any bytes. They are refused by a named exception with one line, or accepted; what is accepted has one
encoding where the format is canonical, and the rest of the house has an answer to it.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

from cli.bill_check import Bill, BillProblem, read_bill
from cli.bundle import decode_bundle, encode_bundle
from cli.client_settings import parse_client_settings
from cli.failure import CliError
from cli.network_spec import parse_spec
from consensus.codec import decode_envelope, decode_record, encode_envelope, encode_record
from consensus.messages import Message
from meter import answers
from meter.collect.observation import DropError, Dropped, DropReason, Observed
from meter.home.spec import HomeError
from meter.home.spec import read_homes as read_home_specs
from meter.keystore import KeyFileInvalidError, parse_key_label
from meter.proof_files import read_proof_file
from meter.proofs import (
    decode_certified_receipt,
    encode_certified_receipt,
    read_certificate,
    read_state_proof,
)
from meter.sources.csv import read_context, read_homes, read_readings
from meter.sources.household import Surroundings, read_households, read_surroundings
from meter.sources.mqtt_maps import MapError, MessageReader, build_map, read_map
from meter.sources.ocmf import check_record, read_public_key
from meter.sources.p1 import Telegram, TelegramReader
from meter.sources.table import SourceError
from meter.stream import decode_said
from node.api.admin import decode_step
from node.api.errors import ApiProblem
from node.api.requests import check_digests, decode_array
from node.config import ConfigError, parse_config
from node.exchange import (
    decode_batch,
    decode_blocks,
    decode_epoch,
    decode_handovers,
    decode_height,
    decode_raw_transactions,
    decode_transactions_request,
    encode_epoch,
    encode_height,
    encode_transactions_request,
)
from node.observer.bundles import BundleError
from node.observer.bundles import decode_bundle as decode_observer_bundle
from node.observer.bundles import encode_bundle as encode_observer_bundle
from node.observer.exchange import (
    decode_announcement,
    decode_outcomes,
    decode_submission,
    encode_announcement,
    encode_submission,
)
from node.snapshots.parts import (
    decode_buckets_page,
    decode_buckets_question,
    decode_manifest,
    decode_pairs_page,
    decode_pairs_question,
)
from node.storage.journal_frames import Damage, Scan, read_header, scan
from p2p.frames import FrameError, decode_frames
from p2p.handshake import HandshakeError, decode_hello
from p2p.transfer import decode_request, decode_response, encode_request
from primitives.encoding import DecodeError, decode, encode
from primitives.ids import Digest, UnixMs, UnixSeconds
from tests.fuzz import consequences as then
from tests.fuzz import seeds
from tests.fuzz.consequences import BrokenPromise, is_canonical
from tests.meter.collect.samples import CHARGER_KEY
from tests.vectors.street import encode_proof
from tests.vm.ledger import make_genesis
from vm.genesis import decode_genesis
from vm.transaction import decode_transaction

BYTES_PER_BYTE = 64
"""MessagePack makes an object of one byte: a pointer in a tuple, and at most a boxed number of 32 bytes."""

TOML_BYTES_PER_BYTE = 640
"""tomllib makes a table and its flags of every part of a dotted key, of two bytes. These files are written by the one
who runs the program, and have a megabyte at most."""


@dataclass(frozen=True)
class Target:
    """A decoder, the exceptions that refuse for it, its valid inputs, and what follows where it accepts.

    It may allocate ``bytes_per_byte`` for each byte of its input, and a constant.
    """

    name: str
    decode: Callable[[bytes], Any]
    refusals: tuple[type[Exception], ...]
    list_seeds: Callable[[], Sequence[bytes]]
    follow: then.Follow | None = None
    bytes_per_byte: int = BYTES_PER_BYTE


def run(target: Target, data: bytes) -> bool:
    """Tell whether the target accepts the bytes; whatever else is raised breaks its promise."""
    try:
        value = target.decode(data)
    except target.refusals as error:
        line = str(error)
        if not line or "\n" in line:
            raise BrokenPromise(f"{target.name} refuses in another form than one line: {line!r}") from error
        return False
    if target.follow is not None:
        target.follow(data, value)
    return True


def _decode_journal(data: bytes) -> Scan:
    return scan(data, read_header(data))


def _decode_call(data: bytes) -> object:
    """Decode a call's arguments; the first byte chooses the method."""
    if not data:
        raise DecodeError("no method")
    return decode(data[1:], seeds.METHODS[data[0] % len(seeds.METHODS)])


def _decode_answer(data: bytes) -> object:
    """Decode what a validator answers; the first byte chooses the question."""
    if not data:
        raise answers.AnswerError("no question")
    return answers.decode_answer(data[1:], seeds.ANSWERS[data[0] % len(seeds.ANSWERS)])


def _decode_bill(data: bytes) -> Bill:
    """Decode a bill that a validator claims, with what is hex inside it."""
    return read_bill(answers.decode_answer(data, answers.BillAnswer))


def _read_surroundings(path: Path) -> Surroundings:
    first_s = seeds.SURROUNDINGS_FIRST_S
    return read_surroundings(path, (UnixSeconds(first_s), UnixSeconds(first_s + 3600)), 1)


def _read_telegrams(data: bytes) -> list[Telegram | Dropped]:
    """Read telegrams as they come over a line; refused where none is among the bytes."""
    reader = TelegramReader()
    found = list(reader.feed(data))
    if not any(isinstance(each, Telegram) for each in found):
        reasons = [each.reason for each in found if isinstance(each, Dropped)]
        raise DropError(reasons[0] if reasons else DropReason.TELEGRAM_CUT)
    return found


def _read_message(data: bytes) -> Observed:
    """Read a message of a gadget."""
    gadget = build_map("tasmota", "m")
    (found,) = MessageReader(gadget).take(gadget.topics[0], data, retained=False, now_ms=UnixMs(0))
    if isinstance(found, Dropped):
        raise DropError(found.reason)
    return found


def _decode_ids(data: bytes) -> list[Digest]:
    return check_digests(decode_array(data, "ids"))


def _read_file(read: Callable[[Path], object], data: bytes) -> object:
    """Read a file with these bytes that is on no disk."""
    descriptor = os.memfd_create("fuzz")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(data)
        return read(Path(f"/proc/self/fd/{descriptor}"))
    finally:
        os.close(descriptor)


_DECODING = (DecodeError,)
_FRAMING = (FrameError,)
_USAGE = (CliError,)
_TABLE = (SourceError,)
_PROBLEM = (ApiProblem,)

_MESSAGES = tuple(
    Target(
        f"message_{kind.__name__.lower()}",
        decode_envelope,
        _DECODING,
        partial(seeds.list_envelopes, kind),
        is_canonical(encode_envelope, then.follow_envelope),
    )
    for kind in get_args(Message)
)

# fmt: off  # a table is read by its columns
_OTHERS = (
    # what validators say to each other
    Target("frame", decode_frames, _FRAMING, seeds.list_frames, is_canonical(then.render_frames)),
    Target(
        "hello", decode_hello, (HandshakeError,), seeds.list_hellos, is_canonical(encode, then.follow_hello)
    ),
    Target(
        "question",
        decode_request,
        _FRAMING,
        seeds.list_requests,
        is_canonical(lambda parts: encode_request(*parts)),
    ),
    Target(
        "answer_part", decode_response, _FRAMING, seeds.list_responses, is_canonical(then.render_response)
    ),
    Target(
        "question_ids",
        decode_transactions_request,
        _DECODING,
        seeds.list_id_questions,
        is_canonical(encode_transactions_request),
    ),
    Target(
        "question_height", decode_height, _DECODING, seeds.list_height_questions, is_canonical(encode_height)
    ),
    Target(
        "answer_transactions",
        decode_raw_transactions,
        _DECODING,
        seeds.list_raw_answers,
        is_canonical(encode),
    ),
    Target(
        "answer_batch", decode_batch, _DECODING, seeds.list_batches, is_canonical(encode, then.follow_batch)
    ),
    Target(
        "answer_blocks",
        decode_blocks,
        _DECODING,
        seeds.list_block_answers,
        is_canonical(encode, then.follow_blocks),
    ),
    Target(
        "question_epoch", decode_epoch, _DECODING, seeds.list_height_questions, is_canonical(encode_epoch)
    ),
    Target(
        "answer_handovers",
        decode_handovers,
        _DECODING,
        seeds.list_handover_answers,
        is_canonical(encode, then.follow_handovers),
    ),
    Target(
        "snapshot_manifest",
        decode_manifest,
        _DECODING,
        seeds.list_manifests,
        is_canonical(encode, then.follow_manifest),
    ),
    Target(
        "snapshot_buckets",
        decode_buckets_page,
        _DECODING,
        seeds.list_bucket_pages,
        is_canonical(encode, then.follow_buckets),
    ),
    Target("snapshot_pairs", decode_pairs_page, _DECODING, seeds.list_pair_pages, is_canonical(encode)),
    Target(
        "question_buckets",
        decode_buckets_question,
        _DECODING,
        seeds.list_bucket_questions,
        is_canonical(encode),
    ),
    Target(
        "question_pairs", decode_pairs_question, _DECODING, seeds.list_pair_questions, is_canonical(encode)
    ),
    # what validators and observers say to each other
    Target(
        "announcement",
        decode_announcement,
        _DECODING,
        seeds.list_announcements,
        is_canonical(encode_announcement),
    ),
    Target(
        "submission", decode_submission, _DECODING, seeds.list_submissions, is_canonical(encode_submission)
    ),
    Target("outcomes", partial(decode_outcomes, names=[Digest(bytes(32))]), _DECODING, seeds.list_outcomes),
    Target(
        "observer_bundle",
        partial(decode_observer_bundle, genesis_hash=make_genesis().compute_hash()),
        (BundleError,),
        seeds.list_observer_bundles,
        is_canonical(partial(encode_observer_bundle, make_genesis().compute_hash())),
    ),
    # what clients say, and what validators answer them
    Target(
        "transaction",
        decode_transaction,
        _DECODING,
        seeds.list_transactions,
        is_canonical(lambda sealed: encode(sealed.transaction), then.follow_transaction),
    ),
    Target(
        "call",
        _decode_call,
        _DECODING,
        seeds.list_calls,
        lambda data, value: is_canonical(encode)(data[1:], value),
    ),
    Target("client_bill", _decode_bill, (answers.AnswerError, BillProblem), seeds.list_bills),
    Target("body_transactions", partial(decode_array, what="transactions"), _PROBLEM, seeds.list_bodies),
    Target("body_ids", _decode_ids, _PROBLEM, seeds.list_id_bodies),
    Target("body_clock", decode_step, _PROBLEM, seeds.list_clock_steps),
    Target("client_answer", _decode_answer, (answers.AnswerError,), seeds.list_json_answers),
    Target("client_stream", decode_said, (answers.AnswerError,), seeds.list_said),
    Target("client_error", answers.decode_error, (), seeds.list_error_answers, then.follow_error_answer),
    Target(
        "certificate",
        read_certificate,
        _DECODING,
        seeds.list_certificates,
        is_canonical(encode, then.follow_certificate),
    ),
    Target(
        "proof_receipt",
        decode_certified_receipt,
        _DECODING,
        seeds.list_receipt_proofs,
        is_canonical(encode_certified_receipt, then.follow_receipt),
    ),
    Target(
        "proof_file",
        read_proof_file,
        _DECODING,
        seeds.list_proof_files,
        is_canonical(encode_proof, then.follow_proof_file),
    ),
    Target(
        "proof_state",
        read_state_proof,
        _DECODING,
        seeds.list_state_proofs,
        is_canonical(encode, then.follow_state_proof),
    ),
    # files
    Target(
        "genesis",
        decode_genesis,
        _DECODING,
        seeds.list_geneses,
        is_canonical(encode, lambda genesis: genesis.compute_hash()),
    ),
    Target("journal_record", decode_record, _DECODING, seeds.list_records, is_canonical(encode_record)),
    Target("journal_file", _decode_journal, (Damage,), seeds.list_journals, then.follow_journal),
    Target(
        "key_file",
        partial(parse_key_label, Path("x.key")),
        (KeyFileInvalidError,),
        seeds.list_key_files,
        then.follow_key_file,
    ),
    Target(
        "config",
        lambda data: parse_config(data, {}),
        (ConfigError,),
        seeds.list_configs,
        then.follow_config,
        TOML_BYTES_PER_BYTE,
    ),
    Target(
        "client_settings",
        partial(parse_client_settings, Path("client.toml")),
        _USAGE,
        seeds.list_client_settings,
        bytes_per_byte=TOML_BYTES_PER_BYTE,
    ),
    Target("network_spec", parse_spec, _USAGE, seeds.list_specs, bytes_per_byte=TOML_BYTES_PER_BYTE),
    Target("p1_telegram", _read_telegrams, (DropError,), seeds.list_telegrams),
    Target("mqtt_message", _read_message, (DropError,), seeds.list_messages),
    Target(
        "mqtt_map",
        partial(_read_file, read_map),
        (MapError,),
        seeds.list_mqtt_maps,
        bytes_per_byte=TOML_BYTES_PER_BYTE,
    ),
    Target(
        "charger_record",
        partial(check_record, key=read_public_key(CHARGER_KEY)),
        (DropError,),
        seeds.list_charger_records,
    ),
    Target("csv_readings", partial(_read_file, read_readings), _TABLE, seeds.list_readings),
    Target("csv_homes", partial(_read_file, read_homes), _TABLE, seeds.list_homes),
    Target("csv_prices", partial(_read_file, read_context), _TABLE, seeds.list_prices),
    Target(
        "bundle",
        partial(decode_bundle, path=Path("node4.bundle"), genesis=make_genesis()),
        _USAGE,
        seeds.list_bundles,
        is_canonical(partial(encode_bundle, make_genesis())),
    ),
    Target(
        "home_spec",
        partial(_read_file, read_home_specs),
        (HomeError,),
        seeds.list_home_specs,
        bytes_per_byte=TOML_BYTES_PER_BYTE,
    ),
    Target("csv_households", partial(_read_file, read_households), _TABLE, seeds.list_households),
    Target("csv_surroundings", partial(_read_file, _read_surroundings), _TABLE, seeds.list_surroundings),
)
# fmt: on

TARGETS: dict[str, Target] = {target.name: target for target in (*_MESSAGES, *_OTHERS)}
