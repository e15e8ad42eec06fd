"""Every check of a profile on this machine, in the order a start would meet the faults."""

from collections.abc import Iterator
from pathlib import Path

from colloquy.local.checks.finding import Finding, ok
from colloquy.local.checks.machine import (
    check_disk,
    check_gpus,
    check_memory,
    check_port,
    check_processor,
)
from colloquy.local.checks.models import check_engines, check_tasks
from colloquy.local.checks.services import check_secrets, check_sections
from colloquy.local.checks.software import check_packages, check_python, check_torchvision
from colloquy.local.checks.spaces import check_spaces, check_stores
from colloquy.profile import Profile


def examine(profile: Profile, path: Path) -> Iterator[Finding]:
    yield ok("profile", f"{path} holds")
    # The profile's own words: on which weights it has been run, and on which it has not.
    yield ok("weights", " ".join(profile.about.split()))
    yield check_python()
    yield from check_packages(profile)
    yield from check_torchvision(profile)
    yield from check_engines(profile)
    yield from check_tasks(profile)
    yield from check_spaces(profile)
    yield from check_stores(profile)
    yield from check_gpus(profile)
    yield from check_processor(profile)
    yield from check_memory(profile)
    yield check_disk(profile)
    yield check_port(profile, path)
    yield from check_secrets(profile)
    yield from check_sections(profile, path)
