"""What is written down holds no secret: neither under a name of one, nor in a sentence."""

import pytest

from node.redaction import REDACTED, SECRET_WORDS, is_secret_name, redact_text, redact_value

CANARY = "c4n4ry-7f3a"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {CANARY}",
        f"GET /v1/accounts?token={CANARY}&limit=5",
        f"GRIDBFT_PASSPHRASE={CANARY}",
        f'{{"passphrase": "{CANARY}"}}',
        f"mqtt://meter:{CANARY}@broker.example:1883/p1",
        f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----",
        f"-----BEGIN EC PRIVATE KEY-----\n{CANARY} and the rest was cut",
        f"broker_password : '{CANARY}'",
    ],
)
def test_a_secret_in_a_text_is_not_written(text: str) -> None:
    found = redact_text(text)
    assert CANARY not in found
    assert REDACTED in found


@pytest.mark.parametrize(
    "text",
    [
        "the passphrase is wrong or the key file was altered",
        "peer_lost reason=connection refused",
        "http://127.0.0.1:8100/v1/status",
        "block 7 of node0: 3 transactions",
    ],
)
def test_a_text_without_a_secret_stays_as_it_is(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize("word", SECRET_WORDS)
def test_a_value_is_hidden_under_every_name_of_a_secret_however_deep_it_lies(word: str) -> None:
    name = f"The_{word.upper()}_of_a_meter"
    assert is_secret_name(name)
    hidden = redact_value("settings", {"broker": [{name: CANARY, "host": "b.example"}]})
    assert hidden == {"broker": [{name: REDACTED, "host": "b.example"}]}


def test_a_setting_that_only_sounds_like_a_secret_is_shown() -> None:
    assert redact_value("", {"private_reads": "token"}) == {"private_reads": "token"}


def test_redacting_twice_changes_nothing() -> None:
    once = redact_text(f"token={CANARY} next")
    assert redact_text(once) == once == f"token={REDACTED} next"


@pytest.mark.parametrize(
    "unit", ["x", "a.", "token", "://a", "bearer ", "-----BEGIN PRIVATE KEY-----", "seed:"]
)
def test_a_line_of_any_length_is_searched_once(unit: str) -> None:
    """A search that began anew at each place would take minutes here, and the test's time-out ends it."""
    assert len(redact_text(unit * (1_000_000 // len(unit)))) <= 30_000_000
