"""The compose file of a new network runs each of its validators, locked in, as the owner of the homes."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec import structs

from cli.compose import INSIDE, SECRET, render_compose
from cli.network_spec import EXAMPLE, ValidatorSpec, parse_spec

SPEC = parse_spec(EXAMPLE.encode())


def read(text: str) -> dict[str, Any]:
    found = yaml.safe_load(text)
    assert isinstance(found, dict)
    return found


def test_there_is_one_service_for_each_validator_with_its_home_of_the_bundle(network: Path) -> None:
    made = read((network / "compose.yaml").read_text(encoding="utf-8"))
    services = made["services"]
    assert sorted(services) == ["node0", "node1", "node2", "node3"]
    for name, service in services.items():
        (volume,) = service["volumes"]
        source, _, target = volume.partition(":")
        assert target == INSIDE
        assert (network / source).samefile(network / name)
        assert (network / source / "config.toml").is_file()
        assert service["command"] == ["start", "--home", INSIDE, "--passphrase-file", SECRET]


def test_every_service_is_locked_in_and_its_health_is_that_of_its_own_process() -> None:
    for service in read(render_compose(SPEC, 1000, 1001))["services"].values():
        assert service["user"] == "${GRIDBFT_USER:-1000:1001}"
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["healthcheck"]["test"] == ["CMD", "gridbft", "status", "--live", "--home", INSIDE]
        assert service["mem_limit"]
        assert service["pids_limit"]
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
        assert service["stop_grace_period"] == "60s"


def test_clients_keep_their_addresses_so_no_port_is_published() -> None:
    for service in read(render_compose(SPEC, 1000, 1000))["services"].values():
        assert service["network_mode"] == "host"
        assert "ports" not in service
        assert "privileged" not in service


def test_the_passphrase_is_a_file_that_whoever_starts_it_names(network: Path) -> None:
    made = read((network / "compose.yaml").read_text(encoding="utf-8"))
    (secret,) = made["secrets"].values()
    assert secret["file"].startswith("${GRIDBFT_PASSPHRASE_FILE:?")
    assert all(service["secrets"] == ["passphrase"] for service in made["services"].values())
    assert list(network.rglob("*passphrase*")) == []


def test_homes_of_root_are_not_run_as_root() -> None:
    for service in read(render_compose(SPEC, 0, 0))["services"].values():
        assert service["user"].startswith("${GRIDBFT_USER:?")


@pytest.mark.parametrize("name", ["null", "1", "yes", "a.b-c_d"])
def test_a_validators_name_stays_a_name(name: str) -> None:
    spec = structs.replace(SPEC, validators=[ValidatorSpec(name, "127.0.0.1", 1, 2)])
    made = read(render_compose(spec, 1000, 1000))
    assert list(made["services"]) == [name]
    assert made["services"][name]["volumes"] == [f"./{name}:{INSIDE}"]
