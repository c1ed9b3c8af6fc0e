"""A ballot that cannot count is refused before anything is signed or sent, with what to do."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec import structs

from cli.bundle import Bundle, encode_bundle
from cli.certificates import make_tls_identity
from cli.failure import ExitCode
from cli.node_keys import NODE_KEY_PATH
from meter.keystore import KeyKind, create_key
from primitives.header import Validator
from primitives.signing import SecretKey
from tests.cli.conftest import PASSPHRASE, Command
from tests.cli.test_across_epochs import Desk
from tests.node.api.rim import open_rim, run
from tests.node.community import build_genesis
from vm.contracts.validators import Endpoint

VOTER_SEED, STRANGER_SEED = bytes([1]) * 32, b"\x77" * 32
NEWCOMER = Bundle(
    Validator("node4", SecretKey(b"\x05" * 32).public, make_tls_identity("node4").certificate),
    Endpoint("node4.example", 7104),
)


@dataclass(frozen=True)
class Refusal:
    """A command, and how it must end."""

    arguments: tuple[str, ...]
    code: ExitCode
    reason: str
    seed: bytes = VOTER_SEED


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(
            ("remove", "node9"), ExitCode.NOT_FOUND, "'node9' is no validator now; they are node0, node1"
        ),
        Refusal(("replace", "node9", "own.bundle"), ExitCode.USAGE, "the bundle of node4, not of node9"),
        Refusal(("add", "other.bundle"), ExitCode.USAGE, "a bundle for another network than test-street"),
        Refusal(("add", "genesis.bin"), ExitCode.USAGE, "no validator bundle"),
        Refusal(("add", "nowhere.bundle"), ExitCode.USAGE, "No such file"),
        Refusal(("withdraw",), ExitCode.NOT_ALLOWED, "NOT_A_VALIDATOR: no key of", STRANGER_SEED),
        Refusal(("remove", "node1"), ExitCode.NOT_ALLOWED, "NOT_A_VALIDATOR: no key of", STRANGER_SEED),
    ],
    ids=lambda refusal: " ".join(refusal.arguments),
)
def test_a_ballot_that_cannot_count_is_refused_before_it_is_sent(
    gridbft: Command, tmp_path: Path, refusal: Refusal
) -> None:
    genesis = build_genesis()
    other = structs.replace(genesis, name="other-street")
    (tmp_path / "own.bundle").write_bytes(encode_bundle(genesis, NEWCOMER))
    (tmp_path / "other.bundle").write_bytes(encode_bundle(other, NEWCOMER))
    create_key(tmp_path / NODE_KEY_PATH, PASSPHRASE.encode(), KeyKind.NODE, "node0", seed=refusal.seed)
    arguments = [str(tmp_path / each) if "." in each else each for each in refusal.arguments]

    async def scenario() -> None:
        async with open_rim() as rim:
            rim.community.commit(rim.community.grant())
            ended = await Desk(gridbft, rim, tmp_path).ask("validators", *arguments)
            assert ended.code == refusal.code, ended.err
            assert refusal.reason in ended.line
            assert ended.out == ""  # no id was said, so nothing was sent
            assert len(rim.community.mempool) == 0

    run(scenario())
