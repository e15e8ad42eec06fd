"""Pictures of a dialogue become references before the dialogue is sent."""

import hashlib
import mimetypes
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from colloquy.cli.gateway import Gateway, Refused
from colloquy.contracts.content import Dialogue, ImagePart, ImageUrl

AT_ONCE = 4
# What is wrong with the picture itself; any other refusal would meet every picture.
_ITS_OWN_FAULT = frozenset({400, 404, 413, 415, 422})
_KEPT = ("blob:", "https:", "http:")


class PictureFault(Exception):
    """A picture that cannot be sent.

    Attributes:
        at: its place, `utterances/3/content/0/image_url/url`.
    """

    def __init__(self, at: str, why: str) -> None:
        super().__init__(why)
        self.at = at


class Uploads:
    """Sends pictures, a few at a time, each content once in a run.

    Paths are relative to the folder of the file that names them.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="upload")
        self._lock = Lock()
        self._known: dict[str, Future[str]] = {}

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def begin(self, dialogue: Dialogue, folder: Path) -> "Pending":
        """Starts sending a dialogue's pictures; `Pending.dialogue()` waits for them."""
        refs: dict[str, Future[str]] = {}
        for at, url in _pictures(dialogue):
            if url not in refs:
                refs[url] = self._ref(url, folder, at)
        return Pending(dialogue, refs)

    def _ref(self, url: str, folder: Path, at: str) -> Future[str]:
        done: Future[str] = Future()
        if url.startswith(_KEPT):
            done.set_result(url)
            return done
        if url.startswith("data:"):
            return self._once(url.encode(), lambda: self._gateway.upload(url))
        path = folder / url.removeprefix("file:")
        try:
            data = path.read_bytes()
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "is no path"
            done.set_exception(PictureFault(at, f"{url}: {why}"))
            return done
        media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return self._once(data, lambda: self._gateway.upload_bytes(data, media_type))

    def _once(self, content: bytes, send: Callable[[], str]) -> Future[str]:
        digest = hashlib.sha256(content).hexdigest()
        with self._lock:
            if digest not in self._known:
                self._known[digest] = self._pool.submit(send)
            return self._known[digest]


class Pending:
    """A dialogue whose pictures are on their way."""

    def __init__(self, dialogue: Dialogue, refs: dict[str, Future[str]]) -> None:
        self._dialogue = dialogue
        self._refs = refs

    def dialogue(self) -> Dialogue:
        """The dialogue with a reference for every picture that was a path or data.

        Raises:
            PictureFault: a picture cannot be read, or the gateway does not take it.
            CommandFailed: the gateway takes none.
        """
        if not self._refs:
            return self._dialogue
        sent = {}
        for at, url in _pictures(self._dialogue):
            try:
                sent[url] = self._refs[url].result()
            except Refused as refusal:
                if refusal.status in _ITS_OWN_FAULT:
                    raise PictureFault(at, str(refusal)) from refusal
                raise
        turns = []
        for turn in self._dialogue.utterances:
            if turn.images:
                parts = [
                    ImagePart(
                        image_url=ImageUrl(
                            url=sent[part.image_url.url], detail=part.image_url.detail
                        )
                    )
                    if isinstance(part, ImagePart)
                    else part
                    for part in turn.parts
                ]
                turn = turn.model_copy(update={"content": parts})
            turns.append(turn)
        return self._dialogue.model_copy(update={"utterances": turns})


def _pictures(dialogue: Dialogue) -> Iterator[tuple[str, str]]:
    """Each picture's place and address."""
    for turn in dialogue.utterances:
        for place, part in enumerate(turn.parts):
            if isinstance(part, ImagePart):
                yield f"utterances/{turn.id}/content/{place}/image_url/url", part.image_url.url
