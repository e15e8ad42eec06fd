"""Product pages as M-BEIR's files: texts that ask for pictures, and texts that ask for pages.

`training/evaluate/mbeir_files.py` reads them. The pools of both tasks hold the same products.
"""

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from training.data.world import lexicon, pages_lexicon
from training.data.world.facts import Split
from training.data.world.products import Product, ProductPage, make_page, make_product
from training.data.world.screenshots import Save

DATASET = 20  # M-BEIR's own are 0 to 10
TASKS: dict[str, int] = {"world_task0": 0, "world_task2": 2}
"""M-BEIR's numbers: text to image, and text to image with text."""
QUERIES_A_POOL = 4  # products for each query: the others are there to be told apart

_TARGET = {"world_task0": "image", "world_task2": "image,text"}
_FIRST = {"world_task0": 0, "world_task2": 1_000_000}  # candidates of the two tasks differ
_INSTRUCTIONS = {
    "world_task0": "Find an image that shows what the caption describes.",
    "world_task2": "Find the product page that the request is about.",
}


def write(folder: Path, split: Split, count: int, seed: int, save: Save) -> list[Path]:
    """Writes both tasks, `count` queries each; equal arguments write equal bytes.

    Returns:
        The files of queries and of candidates.

    Raises:
        OSError: the folder cannot be written.
    """
    made = [make_product(seed, split, number) for number in range(count * QUERIES_A_POOL)]
    pages = [make_page(product, split) for product in made]
    images = [save(f"{split}-{place}", page.pictures[0]) for place, page in enumerate(pages)]
    written = []
    for task in TASKS:
        written += _write_task(folder, task, split, pages, images, count)
    lines = ["query_modality\tcand_modality\tdataset_name\tdataset_id\tprompt_1"]
    lines += [f"text\t{_TARGET[task]}\tworld\t{DATASET}\t{_INSTRUCTIONS[task]}" for task in TASKS]
    instructions = folder / "instructions" / "query_instructions.tsv"
    instructions.parent.mkdir(parents=True, exist_ok=True)
    instructions.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return written


def _write_task(
    folder: Path,
    task: str,
    split: Split,
    pages: Sequence[ProductPage],
    images: Sequence[str],
    count: int,
) -> list[Path]:
    name = f"mbeir_{task}_{split}"
    queries = list(_queries(task, split, pages, count))
    qrels = [
        f"{query['qid']} 0 {did} 1 {TASKS[task]}"
        for query in queries
        for did in query["pos_cand_list"]
    ]
    relevance = folder / "qrels" / split / f"{name}_qrels.txt"
    relevance.parent.mkdir(parents=True, exist_ok=True)
    relevance.write_text("\n".join(qrels) + "\n", encoding="utf-8")
    return [
        _lines(folder / "query" / split / f"{name}.jsonl", queries),
        _lines(
            folder / "cand_pool" / "local" / f"{name}_cand_pool.jsonl",
            _pool(task, pages, images),
        ),
    ]


def _queries(
    task: str, split: Split, pages: Sequence[ProductPage], count: int
) -> Iterator[dict[str, Any]]:
    first, number = _FIRST[task], TASKS[task]
    for place, page in enumerate(pages[:count]):
        keys = [_asked(task, other.product) for other in pages]
        right = [other for other, key in enumerate(keys) if key == keys[place]]
        # The nearest that is wrong: the same thing, in another colour or of another shop.
        wrong = [
            other
            for other, one in enumerate(pages)
            if other not in right and one.product.item == page.product.item
        ]
        yield {
            "qid": f"{DATASET}:{number * 100_000 + place}",
            "query_txt": _text(task, page.product, split),
            "query_img_path": None,
            "query_modality": "text",
            "query_src_content": None,
            "pos_cand_list": [f"{DATASET}:{first + other}" for other in right],
            "neg_cand_list": [f"{DATASET}:{first + other}" for other in wrong],
            "task_id": number,
        }


def _pool(
    task: str, pages: Sequence[ProductPage], images: Sequence[str]
) -> Iterator[dict[str, Any]]:
    for place, (page, image) in enumerate(zip(pages, images, strict=True)):
        text = "; ".join((page.name, *page.bullets)) if task == "world_task2" else None
        yield {
            "did": f"{DATASET}:{_FIRST[task] + place}",
            "txt": text,
            "img_path": image,
            "modality": _TARGET[task],
            "src_content": None,
        }


def _asked(task: str, product: Product) -> tuple[str, ...]:
    """What a query tells of a product, whatever its language: equal keys are equally right."""
    looks = (product.item, product.colour, product.style)
    if task == "world_task0":
        return looks
    phrases = lexicon.load().phrases
    shop = phrases["en"].shops[phrases[product.language].shops.index(product.shop)]
    return (*looks, shop, str(product.price))


def _text(task: str, product: Product, split: Split) -> str:
    rng = random.Random(f"{product.id}/{task}")
    lists = pages_lexicon.load().products[product.language]
    thing = pages_lexicon.thing(
        product.item, product.colour, product.language, style=product.style
    )  # fmt: skip
    if task == "world_task0":
        return lists.pick("pictures", split, rng).format(x=thing)
    line = lists.pick("searches", split, rng)
    return line.format(x=thing, shop=product.shop, price=product.price)


def _lines(path: Path, records: Iterable[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    return path
