"""Known answers of published models that embed or rerank, so a broken load is noticed."""

import base64
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import Tensor

from colloquy.contracts.content import Dialogue
from colloquy.registry.manifest import JudgementProbe, VectorProbe
from training import clip
from training.data import lamra, public
from training.data.pairs import Query
from training.data.world import splits
from training.data.world.dialogues import Stretch, WorldDialogue
from training.data.world.pictures import PictureSpec, png
from training.evaluate import retrieval_offline as retrieval

DIGITS = 5
PICTURE = PictureSpec("cat", "blue", 7)


def probes(task: str, base: Path, folder: Path) -> dict[str, Any]:
    """The fields of the manifest that hold a task's probes."""
    fragment, query = _known()
    if task == "clip":
        return {"vector_probes": _clip_probes(folder, query)}
    content = lamra.query_content(Query(query, {}))
    candidate = lamra.fragment_content(fragment.turns)
    shown = Dialogue(utterances=public.utterances(fragment))
    with torch.no_grad():
        if task == "embed":
            reader = retrieval.load_reader(base, folder)
            asked, told = (reader.embed([lamra.embedding(one)])[0] for one in (content, candidate))
            return {
                "vector_probes": [
                    VectorProbe(query=query, vector=_rounded(asked)),
                    VectorProbe(fragment=shown, vector=_rounded(told)),
                ]
            }
        judge = retrieval.load_judge(base, folder)
        p_yes = float(judge.p_yes(content, [candidate])[0])
    probe = JudgementProbe(query=query, fragment=shown, p_yes=round(p_yes, DIGITS))
    return {"judgement_probes": [probe]}


def _known() -> tuple[WorldDialogue, str]:
    """A short fragment with a picture, as a dialogue of its own, and a query that it answers."""
    for number in range(splits.DIALOGUES["validation"]):
        entry = splits.sample("validation", number)
        for query in entry.queries:
            turns = tuple(entry.dialogue.turns[turn] for turn in query.utterance_ids)
            alone = len(query.topics) == 1 and query.language == "en"
            if query.image_ids and len(turns) <= 6 and alone:
                topic = entry.dialogue.topics[query.topics[0]]
                fragment = WorldDialogue(
                    "probe", query.language, (topic,), (Stretch(0, 0, len(turns)),), turns
                )
                return fragment, query.text
    raise LookupError("no short fragment with a picture")


def _clip_probes(folder: Path, query: str) -> list[VectorProbe]:
    name = f"local-dir:{folder}"
    model, _, _ = open_clip.create_model_and_transforms(name)
    model.eval()
    tokenizer = open_clip.get_tokenizer(name)
    with torch.no_grad():
        text = model.encode_text(tokenizer([query]), normalize=True)[0]
        image = model.encode_image(clip.pixels([PICTURE]), normalize=True)[0]
    url = f"data:image/png;base64,{base64.b64encode(png(PICTURE)).decode()}"
    return [
        VectorProbe(query=query, vector=_rounded(text)),
        VectorProbe(image=url, vector=_rounded(image)),
    ]


def _rounded(vector: Tensor) -> list[float]:
    return [round(value, DIGITS) for value in vector.float().tolist()]
