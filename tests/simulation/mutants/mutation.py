"""Changing a function while the program runs: its source with one piece of text replaced, put wherever it is used."""

import inspect
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from importlib import import_module
from types import ModuleType

from tests.simulation.community import forget_signed
from tests.simulation.patches import replaced
from vm.registry import CONTRACTS

OWN_PACKAGES = ("primitives", "consensus", "vm", "node", "tests.simulation")


class MutationError(Exception):
    """A mutant does not fit the code any more; the message says what is missing, so that it can be written anew."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One bug: in ``target`` ("module:function" or "module:Class.method"), ``old`` becomes ``new``.

    ``hunt`` names who looks for it, and ``why`` says what it breaks.
    """

    name: str
    target: str
    old: str
    new: str
    hunt: str
    why: str


@contextmanager
def mutated(mutant: Mutant) -> Iterator[None]:
    """Let the code have the bug until the end of the block.

    Raises:
        MutationError: the text to replace is not there exactly once.

    """
    module, owner, attribute = find_target(mutant)
    original = vars(owner)[attribute]
    changed = build_changed(mutant, module, attribute, original)
    with ExitStack() as stack:
        forget_signed()
        stack.callback(forget_signed)
        for place, name in find_places(owner, attribute, original):
            stack.enter_context(replaced(place, name, changed))
        stack.enter_context(_contracts_changed(original, changed))
        yield


@contextmanager
def _contracts_changed(original: object, changed: object) -> Iterator[None]:
    """Let the table of contracts call the changed function where it called the original."""
    before = dict(CONTRACTS)
    for name, contract in before.items():
        entries = {
            field.name: changed for field in fields(contract) if getattr(contract, field.name) is original
        }
        CONTRACTS[name] = replace(contract, **entries)  # type: ignore[arg-type]  # the same function but for one text
    try:
        yield
    finally:
        CONTRACTS.update(before)


def find_target(mutant: Mutant) -> tuple[ModuleType, object, str]:
    """Return the module, the module or class that owns the function, and the function's name."""
    module_name, _, path = mutant.target.partition(":")
    module = import_module(module_name)
    owner: object = module
    *classes, attribute = path.split(".")
    for name in classes:
        owner = getattr(owner, name)
    if attribute not in vars(owner):
        raise MutationError(f"{mutant.name}: {mutant.target} does not exist any more")
    return module, owner, attribute


def build_changed(mutant: Mutant, module: ModuleType, attribute: str, original: object) -> object:
    """Return the function with the text replaced, compiled in its own module."""
    if not inspect.isfunction(original):
        raise MutationError(f"{mutant.name}: {mutant.target} is not a function")
    source = textwrap.dedent(inspect.getsource(original))
    count = source.count(mutant.old)
    if count != 1:
        raise MutationError(f"{mutant.name}: {mutant.old!r} stands {count} times in {mutant.target}")
    names: dict[str, object] = {}
    code = compile(source.replace(mutant.old, mutant.new), f"<mutant: {mutant.name}>", "exec")
    exec(code, vars(module), names)  # noqa: S102  # the text is the table's and the code's own
    return names[attribute]


def find_places(owner: object, attribute: str, original: object) -> list[tuple[object, str]]:
    """Return every place from which the function is called: its owner, and the modules that imported it by name."""
    places: list[tuple[object, str]] = [(owner, attribute)]
    for name, module in sorted(sys.modules.items()):
        if module is owner or not name.startswith(OWN_PACKAGES):
            continue
        places += [(module, key) for key, value in list(vars(module).items()) if value is original]
    return places
