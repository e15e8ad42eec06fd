"""The client of an OpenAI-compatible model server, ours a vLLM process."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import SecretStr

from colloquy.engine.failures import CacheMiss
from colloquy.engine.pictures import PictureMemory, content_parts
from colloquy.engine.requests import (
    Embedding,
    EngineModel,
    FirstToken,
    Generation,
    GenerationRequest,
)
from colloquy.engine.wire import Wire
from colloquy.profile import Capabilities
from colloquy.servicekit.problems import UpstreamFailed

MOST_LABELS = 128
"""vLLM scores no more tokens of one position."""
_PROBE_GRAMMAR = 'root ::= "1"'
_PROBE_ANSWER = "1"
_NOT_A_UNIT = 0.01


class EngineClient:
    """Asks one engine.

    Args:
        address: `unix:/path/to.sock` or `http(s)://host:port`.
        capabilities: what the server can do; nothing else is sent to it.
        usual_start_s: for `Retry-After` while it is down.
        pools: it embeds instead of writing (vLLM's pooling runner).
    """

    def __init__(
        self,
        address: str,
        *,
        capabilities: Capabilities,
        api_key: SecretStr | None = None,
        usual_start_s: int = 60,
        pools: bool = False,
    ) -> None:
        self.address = address
        self._wire = Wire(address, api_key=api_key, usual_start_s=usual_start_s)
        self._can = capabilities
        self._pictures = PictureMemory()
        self._pools = pools

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._wire.__aexit__()

    @property
    def capabilities(self) -> Capabilities:
        return self._can

    @property
    def retry_after_s(self) -> int:
        """When an engine that is down should be back."""
        return self._wire.retry_after_s

    async def generate(self, request: GenerationRequest) -> Generation:
        """Asks for one answer, greedy by default.

        Raises:
            PromptTooLong: it does not fit the model's context.
            ModelMissing: the adapter is not loaded.
            Unavailable, DeadlineExceeded, UpstreamFailed: the engine is down, late or wrong.
        """
        options: dict[str, Any] = {"temperature": request.temperature}
        if self._can.grammar == "ebnf":
            # The model's own folder may hold a penalty, which vLLM would apply unasked.
            options |= {"repetition_penalty": 1.0, "top_p": 1.0, "top_k": -1}
            if request.grammar is not None:
                options["structured_outputs"] = {"grammar": request.grammar}
        elif request.grammar is not None:
            raise ValueError("this engine cannot hold a model to a grammar")
        answer = await self._chat(request, options)
        return _generation(answer)

    async def first_token_probabilities(
        self, request: GenerationRequest, token_ids: Sequence[int]
    ) -> list[float]:
        """The probabilities of `first_token` alone."""
        return list((await self.first_token(request, token_ids)).probabilities)

    async def first_token(self, request: GenerationRequest, token_ids: Sequence[int]) -> FirstToken:
        """P(token | prompt, the token is one of `token_ids`) for each; they sum to 1.

        It is the answer's first token, or the first after `request.begun`.

        Raises:
            ValueError: the engine gives no log-probabilities, or ids repeat or are too many.
        """
        if not self._can.logprobs:
            raise ValueError("this engine gives no log-probabilities")
        if not token_ids or len(set(token_ids)) != len(token_ids):
            raise ValueError("token ids must be given, and must not repeat")
        if len(token_ids) > MOST_LABELS:
            raise ValueError(f"an engine scores at most {MOST_LABELS} tokens at once")
        options = {
            "temperature": 0.0,
            "max_tokens": 1,
            "logprobs": True,
            "allowed_token_ids": list(token_ids),
            # By id: `top_logprobs` ends at 20, and two ids may be written alike.
            "logprob_token_ids": list(token_ids),
            "return_tokens_as_token_ids": True,
        }
        answer = await self._chat(request, options)
        try:
            entries = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
            found = {_token_id(entry["token"]): float(entry["logprob"]) for entry in entries}
            logprobs = [found[token] for token in token_ids]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise UpstreamFailed("the engine's answer lacks log-probabilities") from error
        prompt_tokens, cached_tokens, _ = _usage(answer)
        return FirstToken(tuple(_softmax(logprobs)), prompt_tokens, cached_tokens)

    async def embed(self, request: GenerationRequest) -> Embedding:
        """The last token's state after the generation prompt, L2-normalised.

        Raises:
            As `generate`; UpstreamFailed also when the vector is not finite or not normalised,
            as a poisoned engine answers it.
        """
        # vLLM leaves the generation prompt out of what it pools, unless it is asked.
        options = {"add_generation_prompt": True, "encoding_format": "float"}
        answer = await self._ask("/v1/embeddings", request, options)
        return Embedding(_unit_vector(answer), _usage(answer)[0])

    async def count_tokens(self, request: GenerationRequest) -> int:
        """Tokens of the prompt exactly as the engine would see it, pictures included."""
        # The tokenizer's route keeps no pictures, so it always gets the bytes.
        body = self._body(request, PictureMemory())[0]
        body.pop("cache_salt", None)
        return int((await self._wire.post("/tokenize", body))["count"])

    async def token_ids(self, model: str, text: str) -> list[int]:
        """The tokens of a bare text, without any template."""
        body = {"model": model, "prompt": text, "add_special_tokens": False}
        return [int(token) for token in (await self._wire.post("/tokenize", body))["tokens"]]

    async def load_adapter(self, name: str, path: str) -> None:
        """Loads the adapter in folder `path` under `name`.

        The engine believes its files: check them before (`registry.adapters`), and probe after.
        """
        body = {"lora_name": name, "lora_path": path}
        await self._wire.post_for_text("/v1/load_lora_adapter", body)

    async def unload_adapter(self, name: str) -> None:
        """Makes `name` unknown. Its slot in the engine's table stays taken until it is reused."""
        await self._wire.post_for_text("/v1/unload_lora_adapter", {"lora_name": name})

    async def models(self) -> list[EngineModel]:
        reply = await self._wire.get("/v1/models")
        try:
            answer = reply.json()
            return [
                EngineModel(
                    name=str(card["id"]),
                    root=str(card.get("root") or ""),
                    parent=card.get("parent"),
                    max_model_len=card.get("max_model_len"),
                )
                for card in answer["data"]
            ]
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UpstreamFailed("the engine's list of models has another form") from error

    async def ping(self, model: str) -> None:
        """Asks for one token with a known answer; on a server without grammars, lists its models.

        A listening port proves little: behind it, what computes may be dead, stuck or poisoned by
        an adapter's NaN. Asking for the token's probability makes the last one fail too.

        Raises:
            ServiceError: the engine is down, or answered anything else.
        """
        if self._pools:
            await self.embed(GenerationRequest(model, "", ["1"], tenant="probe", max_tokens=1))
            return
        if self._can.grammar != "ebnf":
            await self.models()
            return
        probe = GenerationRequest(
            model, "", ["1"], tenant="probe", max_tokens=1, grammar=_PROBE_GRAMMAR
        )
        answer = await self._chat(
            probe,
            {
                "temperature": 0.0,
                "structured_outputs": {"grammar": probe.grammar},
                "logprobs": self._can.logprobs,
            },
        )
        if _generation(answer).text != _PROBE_ANSWER:
            raise UpstreamFailed("the engine's answer to a known question was another")

    async def counters(self) -> Mapping[str, float]:
        """The engine's Prometheus samples, summed over their labels, by name."""
        totals: dict[str, float] = {}
        for line in (await self._wire.get("/metrics")).text.splitlines():
            if line.startswith("#") or " " not in line:
                continue
            name, _, value = line.rpartition(" ")
            name = name.partition("{")[0]
            totals[name] = totals.get(name, 0.0) + float(value)
        return totals

    async def _chat(self, request: GenerationRequest, options: dict[str, Any]) -> Any:
        limits = {"max_tokens": request.max_tokens}
        return await self._ask("/v1/chat/completions", request, limits | options)

    async def _ask(self, path: str, request: GenerationRequest, options: dict[str, Any]) -> Any:
        """Posts the request; pictures that the engine has lost are sent once more."""
        body, keys = self._body(request, self._pictures)
        try:
            answer = await self._wire.post(path, body | options)
        except CacheMiss:
            self._pictures.forget(keys)
            body, keys = self._body(request, PictureMemory())
            try:
                answer = await self._wire.post(path, body | options)
            except CacheMiss as error:
                raise UpstreamFailed("the engine loses pictures that it was just sent") from error
        self._pictures.learn(keys)
        return answer

    def _body(
        self, request: GenerationRequest, memory: PictureMemory
    ) -> tuple[dict[str, Any], list[str]]:
        parts, keys = content_parts(
            request.content, tenant=request.tenant, named=self._can.image_cache, memory=memory
        )
        messages: list[dict[str, Any]] = [{"role": "user", "content": parts}]
        if request.system:
            messages.insert(0, {"role": "system", "content": request.system})
        body: dict[str, Any] = {
            "model": request.model,
            "messages": messages,
        }
        if request.begun:
            messages.append({"role": "assistant", "content": request.begun})
            body |= {"add_generation_prompt": False, "continue_final_message": True}
        if self._can.cache_salt:
            body["cache_salt"] = request.tenant
        return body, keys


def _generation(answer: Any) -> Generation:
    try:
        choice = answer["choices"][0]
        prompt_tokens, cached_tokens, output_tokens = _usage(answer)
        return Generation(
            text=choice["message"]["content"] or "",
            complete=choice["finish_reason"] == "stop",
            prompt_tokens=prompt_tokens,
            cached_tokens=cached_tokens,
            output_tokens=output_tokens,
        )
    except (KeyError, IndexError, TypeError) as error:
        raise UpstreamFailed("the engine's answer has another form") from error


def _usage(answer: Any) -> tuple[int, int, int]:
    """Tokens of the prompt, those of them that were cached, tokens written."""
    try:
        usage = answer.get("usage") or {}
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        prompt, written = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
        return int(prompt), int(cached), int(written)
    except (TypeError, ValueError, AttributeError) as error:
        raise UpstreamFailed("the engine's answer has another form") from error


def _unit_vector(answer: Any) -> list[float]:
    try:
        vector = [float(value) for value in answer["data"][0]["embedding"]]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise UpstreamFailed("the engine's answer lacks an embedding") from error
    length = math.sqrt(sum(value * value for value in vector))
    # Not `>`: a NaN compares false with everything.
    if not abs(length - 1.0) <= _NOT_A_UNIT:
        raise UpstreamFailed("the engine's embedding is not a unit vector")
    return vector


def _token_id(written: str) -> int:
    return int(written.removeprefix("token_id:"))


def _softmax(logprobs: Sequence[float]) -> list[float]:
    highest = max(logprobs)
    weights = [math.exp(logprob - highest) for logprob in logprobs]
    total = sum(weights)
    return [weight / total for weight in weights]
