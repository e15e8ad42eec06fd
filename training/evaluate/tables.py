"""Tables for a terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

Rounded = Mapping[str, Mapping[str, float]]
_PARTS = ("joint", "utterance", "image")
_SCORES = (("precision", "P"), ("recall", "R"), ("f1", "F1"), ("mcc", "MCC"))


def report_table(title: str, reports: Mapping[str, Rounded]) -> Table:
    """One row a report, the twelve scores across."""
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for part in _PARTS:
        for _, short in _SCORES:
            table.add_column(f"{part}\n{short}", justify="right")
    for name, report in reports.items():
        table.add_row(name, *(f"{report[p][s]:.4f}" for p in _PARTS for s, _ in _SCORES))
    return table


def plain_table(title: str, columns: list[str], rows: list[list[Any]]) -> Table:
    """Numbers are shown with four decimals at most, None as a dash."""
    table = Table(title=title, title_justify="left")
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    return table


def print_tables(*tables: Table | str) -> None:
    console = Console(soft_wrap=True)
    for table in tables:
        console.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4f}".rstrip("0").rstrip(".") if value else "0"
    return str(value)
