"""`gridbft tx`: where a transaction stands, and the proof of it that needs no node."""

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import print_json, print_line, talk
from cli.failure import CliError, ExitCode, build_usage_error
from cli.options import HomeOption, JsonOption, NodeOption, find_home

if TYPE_CHECKING:
    from cli.client_settings import ClientHome
    from consensus.messages import Handover
    from meter.client import Client
    from meter.outcomes import Committed, Outcome, RefusedByNetwork
    from meter.proof_files import BareReceipt, ReceiptFile
    from meter.proofs import TrustAnchor
    from primitives.ids import Digest

app = typer.Typer(no_args_is_help=True, help="One transaction: where it stands, and its proof.")

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The id that was printed when it was sent.")]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", min=0, max=3600, help="How long to wait.")
]
WAIT_DEFAULT_S = 30.0


@app.command()
def show(
    transaction_id: IdArgument, home: HomeOption = None, node: NodeOption = None, as_json: JsonOption = False
) -> None:
    """Show where a validator says that a transaction stands."""
    from cli.client_settings import open_client_home
    from cli.session import ask_validators

    name = parse_id(transaction_id)
    answer = ask_validators(
        open_client_home(find_home(home), node), lambda client: client.get_transaction(name)
    )
    if as_json:
        print_json(
            {
                "id": answer.id,
                "status": answer.status,
                "height": answer.height,
                "index": answer.index,
                "rejection": answer.rejection,
                "certified": answer.certified,
            }
        )
        return
    if answer.height is None:
        print_line(f"{answer.status}: no block holds it yet")
        return
    result = "applied" if answer.rejection is None else f"refused: {answer.rejection}"
    finality = "certified" if answer.certified else "not certified yet"
    print_line(f"{result}, in block {answer.height} at place {answer.index}, {finality}")


@app.command()
def wait(
    transaction_id: IdArgument,
    timeout: TimeoutOption = WAIT_DEFAULT_S,
    home: HomeOption = None,
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Wait until a quorum certified what became of a transaction; its receipt is verified here."""
    from cli.client_settings import open_client_home
    from cli.session import check_outcome

    client_home = open_client_home(find_home(home), node)
    outcome = wait_outcome(client_home, parse_id(transaction_id), timeout)
    if as_json:
        print_json(_describe(outcome))
    check_outcome(outcome)
    if not as_json:
        print_line(f"applied, in block {_get_height(outcome)}, verified")


@app.command()
def proof(
    transaction_id: IdArgument,
    *,
    verify: Annotated[
        bool, typer.Option("--verify", help="Say what was checked, and fail if it fails.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Keep the proof.", show_default=False),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FILE", help="Check a kept proof; no node is asked.", show_default=False
        ),
    ] = None,
    timeout: TimeoutOption = WAIT_DEFAULT_S,
    home: HomeOption = None,
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch (or read) the proof of a transaction and check it against the genesis, offline."""
    from cli.client_settings import open_client_home
    from cli.proof_saving import write_new
    from meter.proof_files import encode_receipt
    from meter.proofs import build_trust_anchor

    client_home = open_client_home(find_home(home), node)
    name = parse_id(transaction_id)
    anchor = build_trust_anchor(client_home.read_genesis())
    receipt = _fetch_receipt(client_home, name, timeout) if source is None else _read_receipt(source)
    followed = _check(anchor, name, receipt)
    certified, handovers = receipt.certified, receipt.handovers
    content = encode_receipt(receipt)
    if output is not None:
        write_new(output, content)
    signers = followed.get_signers(certified.certificate)
    if as_json:
        print_json(
            {
                "id": name.hex(),
                "height": certified.height,
                "rejection": certified.receipt.rejection,
                "certificate_height": certified.certificate.header.height,
                "signers": signers,
                "verified": True,
                "proof": base64.b64encode(content).decode(),
            }
        )
        return
    result = "applied" if certified.receipt.rejection is None else f"refused: {certified.receipt.rejection}"
    print_line(f"{result}, in block {certified.height}")
    if verify:
        talk(f"verified offline: the receipt stands under block {certified.height},")
        members = len(followed.membership.replicas)
        talk(f"  whose certificate {', '.join(signers)} signed ({len(signers)} of {members})")
        if handovers:
            talk(f"  {len(handovers)} handovers lead to them from the genesis")


def parse_id(text: str) -> "Digest":
    """Return a transaction's id.

    Raises:
        CliError: usage; it is none.

    """
    from primitives.ids import DIGEST_BYTES, Digest

    try:
        name = bytes.fromhex(text)
    except ValueError:
        name = b""
    if len(name) != DIGEST_BYTES:
        raise build_usage_error(
            f"{text!r} is no transaction id; it has {2 * DIGEST_BYTES} hexadecimal digits"
        )
    return Digest(name)


def wait_outcome(home: "ClientHome", name: "Digest", timeout_s: float) -> "Outcome":
    """Return the proven outcome of a transaction that some validator knows, or that it is unknown."""
    return _wait(home, name, timeout_s)[0]


def _wait(
    home: "ClientHome", name: "Digest", timeout_s: float
) -> "tuple[Outcome, tuple[Handover, ...], bytes]":
    """Return the outcome, the handovers from the genesis to the epoch of its certificate, and the transaction's bytes.

    There are no bytes where the validator keeps its block no more.
    """
    from cli.session import ask_validators
    from meter.answers import TransactionAnswer
    from meter.outcomes import Committed, RefusedByNetwork

    async def work(client: "Client") -> "tuple[Outcome, tuple[Handover, ...], bytes]":
        await client.get_transaction(name)  # one that nobody knows is not waited for
        outcome = await client.wait(name, timeout_s)
        if not isinstance(outcome, Committed | RefusedByNetwork):
            return outcome, (), b""
        answer: TransactionAnswer = await client.ask(
            f"/v1/transactions/{name.hex()}", TransactionAnswer, {"raw": "1"}
        )
        handovers = client.get_handovers(outcome.proof.certificate.header.epoch)
        return outcome, handovers, answer.transaction or b""

    return ask_validators(home, work)


def _fetch_receipt(home: "ClientHome", name: "Digest", timeout_s: float) -> "ReceiptFile | BareReceipt":
    from meter.outcomes import Committed, OutcomeUnknown, RefusedByNetwork
    from meter.proof_files import BareReceipt, ReceiptFile

    outcome, handovers, raw = _wait(home, name, timeout_s)
    if isinstance(outcome, Committed | RefusedByNetwork):
        proof, certificate = outcome.proof.proof, outcome.proof.certificate
        if raw:
            return ReceiptFile(raw, proof, certificate, handovers)
        return BareReceipt(proof, certificate, handovers)
    reason = outcome.reason if isinstance(outcome, OutcomeUnknown) else outcome.detail
    raise CliError(f"{name.hex()}: no proof yet: {reason}", ExitCode.OUTCOME_UNKNOWN)


def _read_receipt(path: Path) -> "ReceiptFile | BareReceipt":
    from cli.proof_saving import read_file
    from meter.proof_files import BareReceipt, ReceiptFile, read_proof_file
    from primitives.encoding import DecodeError

    try:
        content = read_proof_file(read_file(path))
    except DecodeError as error:
        raise build_usage_error(f"{path}: no proof file: {error}") from None
    if not isinstance(content, ReceiptFile | BareReceipt):
        raise build_usage_error(f"{path}: no receipt; `gridbft verify {path}` says what it is")
    return content


def _check(anchor: "TrustAnchor", name: "Digest", receipt: "ReceiptFile | BareReceipt") -> "TrustAnchor":
    """Return the anchor followed to the proof's epoch.

    Raises:
        CliError: the proof proves nothing.

    """
    from meter.proof_files import ReceiptFile
    from meter.proofs import check_receipt, follow_proof
    from primitives.hashing import compute_transaction_id

    certified = receipt.certified
    followed = follow_proof(anchor, certified, receipt.handovers)
    problem = followed if isinstance(followed, str) else check_receipt(followed, name, certified)
    if problem is None and isinstance(receipt, ReceiptFile):
        is_same = compute_transaction_id(receipt.transaction) == name
        problem = None if is_same else "the bytes are of another transaction"
    if problem is not None or isinstance(followed, str):
        raise CliError(f"the proof proves nothing: {problem}; do not rely on it")
    return followed


def _get_height(outcome: "Outcome") -> int:
    return outcome.height if hasattr(outcome, "height") else 0


def _describe(outcome: "Outcome") -> dict[str, object]:
    from meter.outcomes import Committed, RefusedByNetwork

    if isinstance(outcome, Committed | RefusedByNetwork):
        return {
            "id": outcome.transaction_id.hex(),
            "status": "committed",
            "height": outcome.height,
            "rejection": _get_rejection(outcome),
            "verified": True,
        }
    return {"id": outcome.transaction_id.hex(), "status": "unknown", "verified": False}


def _get_rejection(outcome: "Committed | RefusedByNetwork") -> str | None:
    return outcome.proof.receipt.rejection
