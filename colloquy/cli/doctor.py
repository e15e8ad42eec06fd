"""doctor: everything that a start of the profile would meet, checked without starting it."""

import json
from argparse import Namespace
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from colloquy.cli.profiles import find_profile
from colloquy.local.checks.examine import examine
from colloquy.local.checks.finding import Finding
from colloquy.profile import Profile

_MARKS = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "failed": "[red]✗[/]"}


def doctor(arguments: Namespace) -> int:
    """0 when nothing failed."""
    path = find_profile(arguments.profile)
    profile = Profile.load(path)
    console = Console()
    findings: list[Finding] = []
    for finding in examine(profile, path):
        findings.append(finding)
        if not arguments.json:
            _show(console, finding)
    if arguments.json:
        console.print_json(json.dumps([asdict(finding) for finding in findings]))
    failures = sum(finding.verdict == "failed" for finding in findings)
    if not arguments.json:
        word = "nothing stands in its way" if not failures else f"{failures} must be put right"
        console.print(f"{profile.name}: {word}")
    return 1 if failures else 0


def _show(console: Console, finding: Finding) -> None:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=1)
    table.add_column(width=16)
    table.add_column(overflow="fold")
    table.add_row(_MARKS[finding.verdict], finding.about, escape(finding.detail))
    console.print(table, highlight=False)
