"""One query's questions to one version of the model."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from colloquy.contracts.generation import Usage
from colloquy.engine.requests import FirstToken
from colloquy.engine.serving.ask import Inquiry, TaskModel
from colloquy.protocols import lamra
from colloquy.protocols.lamra import Content, Family, Picture
from colloquy.protocols.prompt import Prompt
from colloquy.servicekit.problems import Unavailable
from services.reranker.answers import AnswerTokens
from services.reranker.score_cache import Score, Told
from services.reranker.trimming import Trimmer

Mode = Literal["pointwise", "listwise"]


@dataclass(frozen=True, slots=True)
class Asking:
    """Attributes:
    version: the model's name when the request began; every score is of this one.
    inquiry: the tenant, and the pictures at the model's size.
    """

    model: TaskModel
    version: str
    tokens: AnswerTokens
    family: Family
    mode: Mode
    inquiry: Inquiry
    query: Content

    def key(self, shown: Sequence[Content]) -> bytes:
        """Names the question: tenant, version, mode and everything the prompt is made of.

        A picture's reference depends on its tenant and on every byte of it.
        """
        digest = hashlib.sha256()
        for word in (self.inquiry.tenant, self.version, self.mode, self.family):
            _add(digest, "word", word)
        for content in (self.query, *shown):
            _add(digest, "content", "")
            for part in content:
                if isinstance(part, Picture):
                    _add(digest, "picture", part.ref)
                else:
                    _add(digest, "text", part)
        return digest.digest()

    async def ask(self, shown: Sequence[Content]) -> Told:
        """Asks for P(Yes) of one candidate, or for the probability of each of a list's numbers.

        Raises:
            TooLarge: the query leaves no room. Unavailable: the engine is down, or serves another
                version by now. Others as `TaskModel.ask`.
        """
        fitted = await Trimmer(self.model, self.inquiry, self._render).fit(shown)

        async def first_token(begun: str, tokens: Sequence[int]) -> FirstToken:
            return await self.model.first_token(self.inquiry, fitted.prompt, tokens, begun=begun)

        if self.mode == "pointwise":
            values, told = await self.tokens.p_yes(first_token)
        else:
            values, told = await self.tokens.p_numbers(len(shown), first_token)
        if self.model.name != self.version:
            raise Unavailable("the model was replaced while it was asked")
        usage = Usage(
            model_calls=len(told),
            prompt_tokens=sum(one.prompt_tokens for one in told),
            cached_tokens=sum(one.cached_tokens for one in told),
            output_tokens=len(told),
        )
        return Told(Score(tuple(values), fitted.trimmed), usage)

    def _render(self, shown: Sequence[Content]) -> Prompt:
        if self.mode == "pointwise":
            (candidate,) = shown
            return lamra.render_pointwise(self.query, candidate, self.family)
        return lamra.render_listwise(self.query, shown, self.family)


def _add(digest: "hashlib._Hash", kind: str, text: str) -> None:
    """Lengths are written before texts, so that no two questions are written alike."""
    data = text.encode("utf-8", "surrogatepass")
    digest.update(f"{kind}:{len(data)}:".encode())
    digest.update(data)
