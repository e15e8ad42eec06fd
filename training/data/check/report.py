"""What the check of one record gives: problems, and what must be compared with other records."""

from dataclasses import dataclass, field

from training.data.check.problems import Kind
from training.data.check.values import Finding


@dataclass(frozen=True, slots=True)
class Identity:
    """Something that names a record.

    Attributes:
        space: what kind of name; two spaces never clash.
        content: what stands under the name: the same again is fine where `again` says so.
    """

    at: str
    space: str
    name: str
    content: str = ""
    again: bool = False


@dataclass(slots=True)
class Report:
    """Filled by the format's check.

    Attributes:
        what: the kind of sample, for the counts.
        images: field and path of each.
    """

    what: str = ""
    findings: list[Finding] = field(default_factory=list)
    images: list[tuple[str, str]] = field(default_factory=list)
    identities: list[Identity] = field(default_factory=list)

    def problem(self, kind: Kind, at: str, why: str) -> None:
        self.findings.append(Finding(kind, at, why))

    def needs_text(self, at: str, text: str) -> None:
        if not text.strip():
            self.problem("empty", at, "is empty")

    def image(self, at: str, path: str) -> None:
        if path.strip():
            self.images.append((at, path))
        else:
            self.problem("empty", at, "is empty")
