"""Tables for a terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

Rounded = Mapping[str, Mapping[str, float]]
MIN_WIDTH = 110
"""A narrower terminal wraps lines; a narrower table would cut numbers."""
_PARTS = ("joint", "utterance", "image")
_SCORES = (("precision", "P"), ("recall", "R"), ("f1", "F1"), ("mcc", "MCC"))


def report_table(title: str, reports: Mapping[str, Rounded]) -> Table:
    """Three rows a report: joint, utterances, images."""
    table = Table(title=title, title_justify="left")
    table.add_column("")
    table.add_column("")
    for _, short in _SCORES:
        table.add_column(short, justify="right")
    for name, report in reports.items():
        for part in _PARTS:
            numbers = (f"{report[part][score]:.4f}" for score, _ in _SCORES)
            table.add_row(name if part == _PARTS[0] else "", part, *numbers)
        table.add_section()
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
    detected = Console()
    console = Console(width=max(detected.width, MIN_WIDTH))
    for table in tables:
        console.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4f}".rstrip("0").rstrip(".") if value else "0"
    return str(value)
