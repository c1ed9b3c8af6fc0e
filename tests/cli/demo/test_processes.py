"""The command of a validator's process: this very Python, or what the environment says in its place."""

import pytest

from cli.demo.processes import COMMAND_VARIABLE, OWN_COMMAND, choose_commands
from cli.failure import CliError


def test_without_another_command_every_validator_is_this_python() -> None:
    assert choose_commands({}, 3) == [OWN_COMMAND] * 3


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("other -m cli", ["other", "other", "other", "other"]),
        ("other -m cli;", ["other", OWN_COMMAND[0], "other", OWN_COMMAND[0]]),
        ("; other -m cli;;", [OWN_COMMAND[0], "other", OWN_COMMAND[0], OWN_COMMAND[0]]),
        ("'other one' -m cli", ["other one"] * 4),
    ],
)
def test_commands_are_taken_in_turn_and_an_empty_one_is_this_python(said: str, expected: list[str]) -> None:
    assert [command[0] for command in choose_commands({COMMAND_VARIABLE: said}, 4)] == expected


def test_a_quotation_that_does_not_end_is_refused_in_one_line() -> None:
    with pytest.raises(CliError, match=f"{COMMAND_VARIABLE}: No closing quotation"):
        choose_commands({COMMAND_VARIABLE: "'other -m cli"}, 4)
