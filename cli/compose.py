"""The compose file of a network: each validator in a container of its own, as locked in as under systemd.

The containers use the network of the host: behind a bridge every client would have the gateway's address, and the API
bounds what one address may do. So a home means the same inside and outside, and no port is published here.
"""

from cli.monitoring.yaml_text import quote
from cli.network_spec import NetworkSpec

INSIDE = "/var/lib/gridbft"
SECRET = "/run/secrets/passphrase"  # noqa: S105  # a place, no secret
OWNER_VARIABLE = "GRIDBFT_USER"

HEAD = """\
# Written by `gridbft network new`: the validators of {network} as containers, with docker compose or podman-compose.
#   GRIDBFT_PASSPHRASE_FILE=/path/to/passphrase docker compose up -d
# On a machine that runs one of them only: docker compose up -d NAME. The image is made by `make image`.

x-validator: &validator
  image: ${{GRIDBFT_IMAGE:-gridbft}}
  command: ["start", "--home", {inside}, "--passphrase-file", {secret}]
  network_mode: host
  user: {owner}
  read_only: true
  cap_drop: ["ALL"]
  security_opt: ["no-new-privileges:true"]
  secrets: ["passphrase"]
  mem_limit: 768m
  pids_limit: 64
  restart: "on-failure:10"
  stop_grace_period: 60s
  healthcheck:
    test: ["CMD", "gridbft", "status", "--live", "--home", {inside}]
    interval: 60s
    timeout: 10s
    retries: 3
    start_period: 5m
  logging:
    driver: json-file
    options: {{max-size: 10m, max-file: "3"}}

services:
"""

TAIL = """
secrets:
  passphrase:
    file: ${GRIDBFT_PASSPHRASE_FILE:?name the file that holds the passphrase of the keys}
"""


def render_compose(spec: NetworkSpec, user: int, group: int) -> str:
    """Return the text of the file; ``user`` and ``group`` own the homes, and the containers run as them.

    Root's homes are run as whoever ``GRIDBFT_USER`` names: a validator needs nothing of root.
    """
    owner = f"${{{OWNER_VARIABLE}:-{user}:{group}}}"
    if user == 0:
        owner = f"${{{OWNER_VARIABLE}:?UID:GID of an ordinary user; chown the homes to it}}"
    head = HEAD.format(network=spec.name, inside=quote(INSIDE), secret=quote(SECRET), owner=quote(owner))
    services = [
        f"  {quote(each.name)}:\n    <<: *validator\n    volumes: [{quote(f'./{each.name}:{INSIDE}')}]\n"
        for each in spec.validators
    ]
    return head + "".join(services) + TAIL
