"""Who this node is: the key with which it signs and links, chosen among those of its home by who validates now."""

from collections.abc import Sequence
from dataclasses import dataclass

from consensus.membership import Membership
from node.errors import HomeError
from primitives.header import Validator
from primitives.signing import SecretKey


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """A voting key with its TLS key (PEM). ``certificate`` (DER) is empty for a key that only the genesis knows."""

    key: SecretKey
    tls_key_pem: bytes
    certificate: bytes = b""


def choose_identity(
    identities: Sequence[Identity], name: str, known: Sequence[Membership]
) -> tuple[Identity, Validator]:
    """Return the identity that is a member's, and that member; ``known`` are memberships, the own current one first.

    A key that nobody knows yet joins: it follows until it is let in.

    Raises:
        HomeError: the keys are another validator's, or no key of this home is known or could be let in.

    """
    for membership in known:
        for identity in identities:
            for validator in membership.validators:
                if validator.public_key == identity.key.public:
                    return identity, _check_name(validator, name)
    joining = next((each for each in identities if each.certificate), None)
    if joining is not None:
        return joining, Validator(name, joining.key.public, joining.certificate)
    names = [validator.name for validator in known[0].validators]
    if name in names:
        raise HomeError(f"keys/node.key is not the key that the genesis names for {name}")
    raise HomeError(
        f"the genesis knows no validator {name!r}; it names {', '.join(names)}: mend `name` in config.toml"
    )


def _check_name(validator: Validator, name: str) -> Validator:
    if validator.name != name:
        raise HomeError(
            f"keys/node.key is the key of {validator.name}, and config.toml says {name!r}: mend `name` there, or"
            " bring the key of this validator"
        )
    return validator
