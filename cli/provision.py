"""A new network on disk: keys, certificates, the genesis, and a home directory for each validator.

    DIR/genesis.bin, DIR/client.toml      what a member's wallet needs to know
    DIR/api.token                         lets members on other machines read what concerns one home
    DIR/compose.yaml                      the validators as containers
    DIR/utility/NAME.key                  the utility's wallet
    DIR/<validator>/                      config.toml, genesis.bin, keys/node.key: copy it to the validator's machine

Everything is made beside DIR and appears under its name at once: an interrupted run leaves no half network.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.certificates import make_tls_identity
from cli.client_settings import ClientSettings, ValidatorEnd, render_client_settings
from cli.compose import render_compose
from cli.drafts import open_draft, write_new
from cli.failure import build_usage_error
from cli.member_token import write_members_token
from cli.network_spec import NetworkSpec, ValidatorSpec, build_consensus_parameters, build_energy_parameters
from cli.node_keys import NODE_KEY_PATH
from meter.keystore import KEY_SUFFIX, KeyKind, KeyLabel, create_key
from primitives.encoding import encode
from primitives.hashing import compute_account_id
from primitives.header import Validator
from primitives.ids import Digest
from vm.genesis import GENESIS_VERSION, Genesis, GenesisAccount, find_genesis_problem

GENESIS_NAME = "genesis.bin"
CLIENT_NAME = "client.toml"
COMPOSE_NAME = "compose.yaml"
CONFIG_NAME = "config.toml"
UTILITY_DIRECTORY = "utility"

RenderConfig = Callable[[NetworkSpec, int], str]
"""Gives the text of a validator's config.toml: (specification, index of the validator)."""


@dataclass(frozen=True)
class Network:
    """A network that was just made."""

    directory: Path
    genesis: Genesis
    genesis_hash: Digest
    homes: tuple[Path, ...]
    utility_key: Path


def create_network(
    directory: Path, spec: NetworkSpec, time_ms: int, passphrase: bytes, render_config: RenderConfig
) -> Network:
    """Make the network of ``spec``, whose blocks begin at ``time_ms``, in a directory that does not exist yet.

    Raises:
        CliError: the directory is in use, the disk refuses, or no network can run with the specification.

    """
    _check_unused(directory)
    with open_draft(directory) as draft:
        genesis, utility = _write_network(draft, spec, time_ms, passphrase, render_config)
    return Network(
        directory=directory,
        genesis=genesis,
        genesis_hash=genesis.compute_hash(),
        homes=tuple(directory / validator.name for validator in spec.validators),
        utility_key=directory / UTILITY_DIRECTORY / f"{utility.name}{KEY_SUFFIX}",
    )


def _check_unused(directory: Path) -> None:
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
        raise build_usage_error(f"{directory}: there is a file of this name; choose another directory")
    if directory.is_dir() and any(directory.iterdir()):
        raise build_usage_error(
            f"{directory}: not empty, and keys are never overwritten; choose a new directory"
        )


def _write_network(
    draft: Path, spec: NetworkSpec, time_ms: int, passphrase: bytes, render_config: RenderConfig
) -> tuple[Genesis, KeyLabel]:
    validators = tuple(_create_validator(draft, validator, passphrase) for validator in spec.validators)
    utility = create_key(
        draft / UTILITY_DIRECTORY / f"{spec.utility.name}{KEY_SUFFIX}",
        passphrase,
        KeyKind.WALLET,
        spec.utility.name,
    )
    genesis = build_genesis(spec, time_ms, validators, utility)
    content = encode(genesis)
    draft.chmod(0o755)  # the directory itself is no secret: key files and their directories are the owner's
    write_new(draft / GENESIS_NAME, content)
    write_new(draft / CLIENT_NAME, render_client_settings(_build_client_settings(spec)).encode())
    write_new(draft / COMPOSE_NAME, render_compose(spec, os.getuid(), os.getgid()).encode())
    write_members_token(draft, [draft / validator.name for validator in spec.validators], time_ms)
    for index, validator in enumerate(spec.validators):
        write_new(draft / validator.name / GENESIS_NAME, content)
        write_new(draft / validator.name / CONFIG_NAME, render_config(spec, index).encode())
    return genesis, utility


def build_genesis(
    spec: NetworkSpec, time_ms: int, validators: Sequence[Validator], utility: KeyLabel
) -> Genesis:
    """Return the genesis of a specification with the keys that were made for it.

    Raises:
        CliError: usage; no network can run with it.

    """
    genesis = Genesis(
        version=GENESIS_VERSION,
        name=spec.name,
        currency=spec.currency,
        time_ms=time_ms,
        validators=tuple(validators),
        accounts=(
            GenesisAccount(utility.account, utility.public_key, "utility", utility.name),
            *(build_validator_account(validator) for validator in validators),
        ),
        energy=build_energy_parameters(spec.energy),
        consensus=build_consensus_parameters(spec.consensus, len(spec.validators)),
    )
    problem = find_genesis_problem(genesis)
    if problem is not None:
        raise build_usage_error(problem)
    return genesis


def build_validator_account(validator: Validator) -> GenesisAccount:
    """Return the account with which a validator votes on who else validates."""
    account = compute_account_id(validator.public_key)
    return GenesisAccount(account, validator.public_key, "validator", validator.name)


def _create_validator(draft: Path, validator: ValidatorSpec, passphrase: bytes) -> Validator:
    identity = make_tls_identity(validator.name)
    label = create_key(
        draft / validator.name / NODE_KEY_PATH,
        passphrase,
        KeyKind.NODE,
        validator.name,
        attachment=identity.key_pem,
    )
    (draft / validator.name).chmod(0o700)  # it will hold the store, the journal and the admin socket
    return Validator(validator.name, label.public_key, identity.certificate)


def _build_client_settings(spec: NetworkSpec) -> ClientSettings:
    return ClientSettings(
        genesis=GENESIS_NAME,
        validators=[
            ValidatorEnd(v.name, f"http://{_as_authority(v.host)}:{v.api_port}") for v in spec.validators
        ],
        utility_key=f"{UTILITY_DIRECTORY}/{spec.utility.name}{KEY_SUFFIX}",
    )


def _as_authority(host: str) -> str:
    return f"[{host}]" if ":" in host else host
