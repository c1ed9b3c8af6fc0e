"""The image is made of what the checkout says: every package, pinned wheels, no root."""

import re

from tests.architecture.documents import read
from tests.architecture.source_tree import PACKAGES

LINES = re.sub(r"\\\n\s*", "", read("Containerfile")).splitlines()


def find(instruction: str) -> list[str]:
    return [line.partition(" ")[2] for line in LINES if line.startswith(f"{instruction} ")]


def test_the_image_holds_every_package_of_the_distribution() -> None:
    copied = [line.split()[0] for line in find("COPY") if len(line.split()) == 2]
    assert set(PACKAGES) <= set(copied)
    ignored = read(".dockerignore").splitlines()
    assert {f"!{name}" for name in (*PACKAGES, "requirements.txt", "pyproject.toml", "LICENSE")} <= set(
        ignored
    )


def test_every_wheel_is_checked_by_its_hash_before_it_is_installed() -> None:
    commands = [command.strip() for line in find("RUN") for command in line.split("&&")]
    fetched = [command for command in commands if "pip download" in command]
    installed = [command for command in commands if "pip install" in command]
    assert len(fetched) == 1
    assert "--require-hashes" in fetched[0]
    assert "--only-binary :all:" in fetched[0]
    assert installed
    assert all("--no-index" in command for command in installed)


def test_it_runs_as_nobody_and_its_health_is_that_of_its_own_process() -> None:
    (user,) = find("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    (health,) = find("HEALTHCHECK")
    assert health.endswith('CMD ["gridbft", "status", "--live"]')
    assert find("ENTRYPOINT") == ['["gridbft"]']
    assert LINES.index('ENTRYPOINT ["gridbft"]') > LINES.index(f"USER {user}")
