"""What a search in a collection carries from step to step."""

from dataclasses import dataclass, field

from colloquy.contracts.content import ImagePart, TextPart
from colloquy.servicekit.deadlines import current_deadline

NOT_RERANKED, NOT_LISTWISE, NOT_REFINED = "rerank", "rerank-listwise", "refine"
RETRIEVED_WITHOUT = "retrieve-"
"""What `degraded` may say, beside what the services behind say of themselves."""

# What is kept of the time for putting the answer together.
_ENDING_S = 0.1
_ENDING_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Query:
    """Attributes:
    picture: a blob reference.
    """

    tenant: str
    text: str | None
    picture: str | None

    @property
    def parts(self) -> list[TextPart | ImagePart]:
        """Pictures first, as LamRA was published."""
        pictures = [ImagePart.of(self.picture)] if self.picture else []
        return [*pictures, *([TextPart(text=self.text)] if self.text else [])]


@dataclass(slots=True)
class Notes:
    """What goes into the answer beside the fragments."""

    degraded: list[str] = field(default_factory=list)
    models: dict[str, str] = field(default_factory=dict)

    def degrade(self, *names: str) -> None:
        self.degraded += [name for name in names if name not in self.degraded]


def left_s() -> float:
    """Seconds that the steps may still use."""
    deadline = current_deadline()
    assert deadline is not None, "the route starts it"
    seconds = deadline.left_s()
    return seconds - min(_ENDING_S, _ENDING_SHARE * seconds)
