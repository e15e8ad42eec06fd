"""Checks a file record by record and counts what it finds."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.data.check import formats
from training.data.check.pictures import Pictures
from training.data.check.problems import Problem, printable
from training.data.check.raw import Raw
from training.data.check.records import records
from training.data.check.report import Report
from training.data.check.seen import Seen
from training.data.check.values import Finding, NotJson, decode, findings

_ADDRESS = ("http://", "https://", "data:")


@dataclass(slots=True)
class Counts:
    """What a file holds.

    Attributes:
        images: files of images. addresses: images that are no files.
        wrong: records with a problem. problems: by kind, those of the file itself too.
    """

    records: int = 0
    what: Counter[str] = field(default_factory=Counter)
    images: int = 0
    addresses: int = 0
    wrong: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    has_carriage_returns: bool = False


class Checker:
    """Checks one file.

    Args:
        format: a name in `FORMATS`; None is that of the first record which looks like any.
        pictures: None leaves the files of images alone.
    """

    def __init__(self, path: Path, *, format: str | None, pictures: Pictures | None) -> None:
        self._path = path
        self._pictures = pictures
        self._forced = format is not None
        self.format = format
        self.counts = Counts()

    def problems(self) -> Iterator[Problem]:
        """Yields every problem of the file in order.

        Raises:
            NotReadable: it is no file, or may not be read.
        """
        with Seen() as seen:
            for one in records(self._path):
                if isinstance(one, Problem):
                    found = [one]
                else:
                    found = list(self._of_record(one, seen))
                    self.counts.wrong += bool(found)
                self.counts.problems.update(problem.kind for problem in found)
                yield from found
        if not self.counts.records and not self.counts.problems:
            self.counts.problems["file"] += 1
            yield Problem("file", 1, "holds no record")

    def _of_record(self, raw: Raw, seen: Seen) -> Iterator[Problem]:
        self.counts.records += 1
        self.counts.has_carriage_returns |= raw.text.endswith(b"\r\n")
        try:
            value = decode(raw.text)
        except NotJson as error:
            yield Problem("JSON", raw.line + error.line, str(error), number=raw.number)
            return
        for one in self._found(value, raw.line, seen):
            yield Problem(one.kind, raw.line, one.why, one.at, raw.number)

    def _found(self, value: Any, line: int, seen: Seen) -> Iterator[Finding]:
        if not isinstance(value, dict):
            yield Finding("field", "", "is not a JSON object")
            return
        yield from findings(value)
        looks = formats.detected(value)
        if self.format is None:
            self.format = looks
        if self.format is None:
            known = ", ".join(formats.FORMATS)
            yield Finding("field", "", f"looks like none of the formats {known}")
            return
        if looks not in (None, self.format) and not self._forced:
            why = f"looks like {looks}, in a file of {self.format}"
            yield Finding("field", "", why)
            return
        report = formats.check(self.format, value)
        if report.what:
            self.counts.what[report.what] += 1
        yield from report.findings
        yield from self._compared(report, line, seen)
        yield from self._of_images(report)

    def _compared(self, report: Report, line: int, seen: Seen) -> Iterator[Finding]:
        for identity in report.identities:
            if (why := seen.clash(identity, line)) is not None:
                yield Finding("id", identity.at, why)

    def _of_images(self, report: Report) -> Iterator[Finding]:
        for at, path in report.images:
            if path.startswith(_ADDRESS):
                self.counts.addresses += 1
                continue
            self.counts.images += 1
            if self._pictures and (why := self._pictures.why_not(path)) is not None:
                yield Finding("image", at, f"{printable(path)}: {why}")
