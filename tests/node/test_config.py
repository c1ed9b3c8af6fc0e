import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.config import (
    CONFIG_BYTES_MAX,
    ENVIRONMENT_SETTINGS,
    ApiConfig,
    ClockConfig,
    ConfigError,
    LogConfig,
    MempoolConfig,
    NodeConfig,
    P2pConfig,
    PeerConfig,
    load_config,
    parse_config,
)
from node.config_text import render_config

MINIMAL = b'name = "node0"\n'


def refuse(content: str, **environment: str) -> str:
    return refuse_bytes(content.encode(), **environment)


def refuse_bytes(content: bytes, **environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(content, environment)
    message = str(caught.value)
    assert "\n" not in message
    return message


names = st.text("abcXYZ019._-", min_size=1, max_size=32)
hosts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)
ports = st.integers(1, 65_535)
configs = st.builds(
    NodeConfig,
    name=names.map("n".__add__).map(lambda name: name[:32]),
    p2p=st.builds(P2pConfig, host=hosts, port=ports),
    api=st.builds(
        ApiConfig,
        host=hosts.map("api.".__add__),
        port=st.integers(0, 65_535),
        allowed_hosts=st.lists(hosts, max_size=3).map(tuple),
        connections_max=st.integers(500, 16_384),
        connections_per_address_max=st.integers(1, 500),
        body_bytes_max=st.integers(8_192, 8 * 1024 * 1024),
    ),
    clock=st.builds(
        ClockConfig,
        mode=st.sampled_from(["system", "stepped"]),
        scale=st.floats(1e-6, 1e6),
        origin_ms=st.integers(0, 2**53),
    ),
    mempool=st.builds(
        MempoolConfig,
        transactions_max=st.integers(5_000, 1_000_000),
        bytes_max=st.integers(65_536, 1024**3),
        account_transactions_max=st.integers(1, 5_000),
    ),
    log=st.builds(
        LogConfig,
        level=st.sampled_from(["debug", "info", "warning", "error"]),
        format=st.sampled_from(["json", "console"]),
        file=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
    ),
    peers=st.lists(
        st.builds(
            PeerConfig, name=names.map("p".__add__).map(lambda name: name[:32]), host=hosts, port=ports
        ),
        max_size=4,
        unique_by=lambda peer: peer.name,
    ).map(tuple),
).filter(lambda config: config.api.host != config.p2p.host)


@given(configs)
def test_a_rendered_file_gives_back_exactly_its_settings(config: NodeConfig) -> None:
    assert parse_config(render_config(config).encode(), {}) == config


def test_a_rendered_file_shows_every_default_commented_out() -> None:
    text = render_config(NodeConfig("node0"))
    for path in ENVIRONMENT_SETTINGS.values():
        if len(path) == 2:
            assert re.search(rf"^# {path[1]} = ", text, re.MULTILINE), path
    assert parse_config(text.encode(), {}) == NodeConfig("node0")


def test_the_environment_wins_over_the_file_and_the_file_over_the_default() -> None:
    content = b'name = "node0"\n[api]\nport = 9000\nhost = "localhost"\n'
    config = parse_config(
        content, {"GRIDBFT_API_PORT": "9001", "GRIDBFT_HOME": "/x", "GRIDBFT_PASSPHRASE": "p"}
    )
    assert (config.api.port, config.api.host, config.p2p.port) == (9001, "localhost", 7100)


def test_every_setting_but_the_peers_can_come_from_the_environment() -> None:
    config = parse_config(
        MINIMAL,
        {
            "GRIDBFT_NODE_NAME": "other",
            "GRIDBFT_CLOCK_MODE": "stepped",
            "GRIDBFT_CLOCK_SCALE": "60",
            "GRIDBFT_API_ALLOWED_HOSTS": "a.example, b.example",
            "GRIDBFT_LOG_FILE": "node.log",
        },
    )
    assert config.name == "other"
    assert config.clock == ClockConfig("stepped", 60.0, 0)
    assert config.api.allowed_hosts == ("a.example", "b.example")
    assert config.log.file == "node.log"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["name", "missing"]),
        ("name = ", ["not TOML", "correct that line"]),
        ('name = "a b"', ["name", "'a b'"]),
        ('name = "a"\nnmae = 1', ["nmae", "no such setting"]),
        ('name = "a"\n[api]\nprot = 1', ["api.prot", "no such setting"]),
        ('name = "a"\n[api]\nport = "x"', ["api.port", "`int`"]),
        ('name = "a"\n[api]\nport = 70000', ["api.port", "65535"]),
        ('name = "a"\n[clock]\nscale = nan', ["clock.scale"]),
        ('name = "a"\n[clock]\nscale = 0', ["clock.scale", "> 0"]),
        ('name = "a"\n[log]\nlevel = "loud"', ["log.level", "loud"]),
        ('name = "a"\napi = 3', ["api", "table"]),
        ('name = "a"\n[p2p]\nport = 0', ["p2p.port"]),
        ('name = "a"\n[api]\nport = 7100', ["api.port", "p2p.port"]),
        ('name = "a"\n[mempool]\ntransactions_max = 100', ["account_transactions_max"]),
        ('name = "a"\n[storage]\nkeep_blocks = -1', ["storage.keep_blocks", ">= 0"]),
        ('name = "a"\n[storage]\nkeep_blocks = 4095', ["storage.keep_blocks", "at least 4096"]),
        ('name = "a"\n[[peers]]\nname = "b"\nhost = "h"', ["peers[0].port", "missing"]),
        ('name = "a"\n[[peers]]\nname = "a"\nhost = "h"\nport = 1', ["peers", "itself"]),
    ],
)
def test_a_bad_setting_is_refused_with_its_key_and_what_to_do(content: str, words: list[str]) -> None:
    message = refuse(content)
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GRIDBFT_API_PORT", "x"),
        ("GRIDBFT_API_PORT", "99999"),
        ("GRIDBFT_API_PROT", "1"),
        ("GRIDBFT_CLOCK_SCALE", "nan"),
    ],
)
def test_a_bad_variable_is_refused_by_its_name(variable: str, value: str) -> None:
    assert variable in refuse('name = "a"', **{variable: value})


def test_two_peers_of_one_name_are_refused() -> None:
    peer = '[[peers]]\nname = "b"\nhost = "h"\nport = 1\n'
    assert "share a name" in refuse(f'name = "a"\n{peer}{peer}')


def test_a_missing_file_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.toml: no such file; `gridbft network new`"):
        load_config(tmp_path, {})


def test_a_file_that_is_no_text_or_far_too_long_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(tmp_path, {})
    path.write_bytes(b"#" * (CONFIG_BYTES_MAX + 1))
    with pytest.raises(ConfigError, match="longer than"):
        load_config(tmp_path, {})


def test_a_directory_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(ConfigError, match=r"config\.toml: Is a directory"):
        load_config(tmp_path, {})


def test_a_good_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(MINIMAL)
    assert load_config(tmp_path, {}) == NodeConfig("node0")


def test_a_file_cut_or_altered_at_any_byte_gives_settings_within_bounds_or_is_refused_with_its_place() -> (
    None
):
    peers = tuple(PeerConfig(f"node{index}", "127.0.0.1", 7100 + index) for index in (1, 2, 3))
    whole = render_config(NodeConfig("node0", peers=peers)).encode()
    refused = 0
    for place in range(len(whole)):
        altered = whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :]
        for content in (whole[:place], altered):
            try:
                config = parse_config(content, {})
            except ConfigError:
                assert refuse_bytes(content)
                refused += 1
            else:
                assert parse_config(render_config(config).encode(), {}) == config
    assert refused > len(whole) // 4
