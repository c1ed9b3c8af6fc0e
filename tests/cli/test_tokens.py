import json
import stat
from pathlib import Path

import pytest

from cli.client_settings import TOKEN_NAME, open_client_home
from cli.failure import CliError, ExitCode
from cli.member_token import MEMBERS
from node.api.tokens import FILE_NAME, Tokens, read_tokens
from tests.cli.conftest import Command


def test_a_token_is_printed_once_kept_as_a_hash_listed_and_revoked(tmp_path: Path, gridbft: Command) -> None:
    made = gridbft("tokens", "add", "gateway", "--home", tmp_path)
    assert made.code == ExitCode.OK
    token = made.out.strip()
    assert len(token) == 64
    assert Tokens(tmp_path).is_known(token)
    listed = json.loads(gridbft("tokens", "list", "--home", tmp_path, "--json").out)
    assert [each["name"] for each in listed] == ["gateway"]
    assert token not in gridbft("tokens", "list", "--home", tmp_path).out
    again = gridbft("tokens", "add", "gateway", "--home", tmp_path)
    assert (again.code, "revoke it first" in again.line) == (ExitCode.ERROR, True)
    assert gridbft("tokens", "revoke", "gateway", "--home", tmp_path).code == ExitCode.OK
    assert not Tokens(tmp_path).is_known(token)
    assert gridbft("tokens", "revoke", "gateway", "--home", tmp_path).code == ExitCode.NOT_FOUND


def test_what_is_no_home_or_a_damaged_file_is_refused_in_one_line(tmp_path: Path, gridbft: Command) -> None:
    assert gridbft("tokens", "add", "gateway", "--home", tmp_path / "nowhere").code == ExitCode.USAGE
    assert gridbft("tokens", "add", "a b", "--home", tmp_path).code == ExitCode.USAGE
    (tmp_path / FILE_NAME).write_text("{")
    for command in (("add", "gateway"), ("list",), ("revoke", "gateway")):
        ended = gridbft("tokens", *command, "--home", tmp_path)
        assert (ended.code, "damaged" in ended.line) == (ExitCode.ERROR, True)


def test_a_new_network_has_a_token_that_every_validator_knows(network: Path) -> None:
    path = network / TOKEN_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    token = open_client_home(network).read_token()
    homes = [each.parent for each in network.glob("*/config.toml")]
    assert len(homes) == 4
    for home in homes:
        assert Tokens(home).is_known(token)
        assert [each.name for each in read_tokens(home)] == [MEMBERS]
        assert token not in (home / FILE_NAME).read_text()


@pytest.mark.parametrize(
    ("content", "mode"), [("", 0o600), ("a b", 0o600), ("x" * 200, 0o600), ("good", 0o644)]
)
def test_a_token_that_others_may_read_or_that_is_none_is_refused(
    tmp_path: Path, content: str, mode: int
) -> None:
    path = tmp_path / TOKEN_NAME
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(CliError):
        open_client_home(tmp_path).read_token()


def test_a_home_without_a_token_shows_none(tmp_path: Path) -> None:
    assert open_client_home(tmp_path).read_token() == ""
