"""A member's home directory: which validators it asks, and the genesis against which it checks every answer.

HOME/client.toml     the validators' addresses and where the genesis file is
HOME/genesis.bin     the network's constitution: whoever holds it need trust no single validator
HOME/wallets/*.key   keys of this home
HOME/api.token       what lets it read, from another machine, what concerns one home; 0600
"""

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from cli.failure import CliError, ExitCode, build_usage_error
from primitives.encoding import DecodeError
from primitives.limits import VALIDATORS_MAX
from primitives.text import decode_toml, hide_user, to_line
from vm.genesis import Genesis, decode_genesis

CLIENT_NAME = "client.toml"
TOKEN_NAME = "api.token"  # noqa: S105  # a file's name
TOKEN_CHARACTERS_MAX = 128
NODE_CONFIG_NAME = "config.toml"
ANY_ADDRESSES = frozenset({"0.0.0.0", "::"})  # noqa: S104  # what a server listens on is not what a client asks
WALLETS_DIRECTORY = "wallets"
SETTINGS_BYTES_MAX = 1024 * 1024
GENESIS_BYTES_MAX = 1024 * 1024
"""80 validators with certificates take 60 kB."""


class ValidatorEnd(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a validator's API answers."""

    name: str
    url: str


class ClientSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of client.toml; paths are relative to the file's directory."""

    genesis: str = "genesis.bin"
    validators: list[ValidatorEnd] = []
    utility_key: str | None = None


class ClientHome:
    """A member's home directory with its settings; files are read when they are asked for."""

    def __init__(self, directory: Path, settings: ClientSettings, node: str | None = None) -> None:
        """Take the settings; ``node`` is the one validator to ask instead of those named there."""
        self.directory = directory
        self.settings = settings
        self._node = node

    @property
    def wallets(self) -> Path:
        """Return the directory of this home's key files."""
        return self.directory / WALLETS_DIRECTORY

    @property
    def utility_key(self) -> Path:
        """Return the utility's key file.

        Raises:
            CliError: this home has none.

        """
        if self.settings.utility_key is None:
            raise CliError(
                f"{self.directory / CLIENT_NAME} names no utility_key: only the utility does this; name it there",
                ExitCode.NOT_ALLOWED,
            )
        return self.directory / self.settings.utility_key

    def get_urls(self) -> tuple[str, ...]:
        """Return the addresses to ask, in order.

        Raises:
            CliError: none is known.

        """
        if self._node is not None:
            return (check_url(self._node, "--node"),)
        if not self.settings.validators:
            raise build_usage_error(
                f"{self.directory}: no client.toml that names validators; pass --home DIR or --node URL"
            )
        return tuple(end.url.rstrip("/") for end in self.settings.validators)

    @property
    def names(self) -> dict[str, str]:
        """Return the names of the validators' addresses, where client.toml gives them."""
        return {end.url.rstrip("/"): end.name for end in self.settings.validators}

    def read_token(self) -> str:
        """Return the token that this home shows to validators, empty where it has none.

        Raises:
            CliError: others may read the file, or it holds no token.

        """
        path = self.directory / TOKEN_NAME
        try:
            with path.open("rb") as file:
                mode, content = os.fstat(file.fileno()).st_mode, file.read(TOKEN_CHARACTERS_MAX + 2)
        except (FileNotFoundError, NotADirectoryError):
            return ""
        except OSError as error:
            raise CliError(f"{path}: {error.strerror}", ExitCode.NOT_ALLOWED) from None
        if mode & 0o077:
            raise CliError(f"{path}: others may read it; chmod 600 it", ExitCode.NOT_ALLOWED)
        text = content.decode("ascii", "replace").strip()
        if re.fullmatch(rf"[0-9A-Za-z._~+/=-]{{1,{TOKEN_CHARACTERS_MAX}}}", text) is None:
            raise build_usage_error(f"{path}: holds no token; put there what `gridbft tokens add` told")
        return text

    def read_genesis(self) -> Genesis:
        """Return the genesis of this home, against which answers are checked.

        Raises:
            CliError: there is none, or it is not one.

        """
        return read_genesis(self.directory / self.settings.genesis)


def open_client_home(directory: Path, node: str | None = None) -> ClientHome:
    """Return the home of a directory; one without client.toml has no settings and is good for --node.

    Raises:
        CliError: client.toml cannot be read or says something wrong; the line names it.

    """
    path = directory / CLIENT_NAME
    try:
        with path.open("rb") as file:
            content = file.read(SETTINGS_BYTES_MAX)
    except (FileNotFoundError, NotADirectoryError):
        return ClientHome(directory, _find_node_settings(directory), node)
    except OSError as error:
        raise build_usage_error(f"{path}: {error.strerror}") from None
    return ClientHome(directory, parse_client_settings(path, content), node)


def read_genesis(path: Path) -> Genesis:
    """Return the genesis of a file.

    Raises:
        CliError: missing, unreadable, or no sound genesis.

    """
    try:
        with path.open("rb") as file:
            content = file.read(GENESIS_BYTES_MAX + 1)
    except FileNotFoundError:
        raise build_usage_error(
            f"{path}: no such file; copy genesis.bin from whoever runs the network and compare its hash"
        ) from None
    except OSError as error:
        raise build_usage_error(f"{path}: {error.strerror}") from None
    if len(content) > GENESIS_BYTES_MAX:
        raise CliError(f"{path}: longer than {GENESIS_BYTES_MAX} bytes, so no genesis file")
    try:
        return decode_genesis(content)
    except DecodeError as error:
        raise CliError(f"{path}: no sound genesis file: {error}") from None


def check_url(url: str, key: str) -> str:
    """Return the address without a slash at its end.

    Raises:
        CliError: usage; it is no HTTP address.

    """
    try:
        parts = urlsplit(url)
        is_sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_sound = False
    if not is_sound:
        raise build_usage_error(f"{key}: {hide_user(url)!r} is no address; write it as http://127.0.0.1:8100")
    return url.rstrip("/")


def render_client_settings(settings: ClientSettings) -> str:
    """Return the text of client.toml."""
    lines = [
        "# Whom this wallet asks. Answers are checked against the genesis, so it trusts no single validator.",
        f'genesis = "{settings.genesis}"',
    ]
    if settings.utility_key is not None:
        lines.append("# The utility's own wallet: leave this line out where it is copied to members.")
        lines.append(f'utility_key = "{settings.utility_key}"')
    for end in settings.validators:
        lines += ["", "[[validators]]", f'name = "{end.name}"', f'url = "{end.url}"']
    return "\n".join(lines) + "\n"


def _find_node_settings(directory: Path) -> ClientSettings:
    """Return how to ask the validator whose own home this is; no settings in any other directory."""
    if not (directory / NODE_CONFIG_NAME).is_file():
        return ClientSettings()
    from node.config import ConfigError, load_config

    try:
        config = load_config(directory, os.environ)
    except ConfigError as error:
        raise build_usage_error(str(error)) from None
    host = "127.0.0.1" if config.api.host in ANY_ADDRESSES else config.api.host
    end = ValidatorEnd(config.name, f"http://{f'[{host}]' if ':' in host else host}:{config.api.port}")
    return ClientSettings(validators=[end])


def parse_client_settings(path: Path, content: bytes) -> ClientSettings:
    """Return the settings in the bytes of a file; ``path`` is named where they are refused.

    Raises:
        CliError: usage; something in it is wrong.

    """
    try:
        settings = msgspec.convert(decode_toml(content), ClientSettings)
    except (DecodeError, msgspec.ValidationError) as error:
        raise build_usage_error(f"{path}: {to_line(str(error))}") from None
    if len(settings.validators) > VALIDATORS_MAX:
        raise build_usage_error(f"{path}: more than {VALIDATORS_MAX} validators")
    for index, end in enumerate(settings.validators):
        check_url(end.url, f"{path}: validators[{index}].url")
    return settings
