"""Records of any kind as values that JSON has: fields by their names, bytes as hex."""

from collections.abc import Mapping
from enum import Enum

from primitives.encoding import Struct


def describe(value: object) -> object:
    """Return the value with every record as a table of its fields; long bytes are kept whole."""
    if isinstance(value, Struct):
        return {name: describe(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, Mapping):
        return {str(key): describe(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [describe(each) for each in value]
    return value
