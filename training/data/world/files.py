"""Writes a part of the world in a published format, its pictures as PNG beside it.

python -m training.data.world.files mire --split train --count 200 --out FOLDER

FOLDER/<split>.json or .jsonl holds the records, FOLDER/images the pictures, by relative paths;
M-BEIR has folders of its own.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from training.data import imageref, mbeir, mire, surf
from training.data.world import products
from training.data.world.facts import Split
from training.data.world.screenshots import Save, Shown, png

SEED = 20261122
IMAGES = "images"
Record = dict[str, Any]


def write(name: str, split: Split, count: int, folder: Path, seed: int = SEED) -> list[Path]:
    """Writes `count` records; equal arguments write equal bytes.

    Returns:
        The files of records, the main one first.

    Raises:
        KeyError: no format has that name.
        OSError: the folder cannot be written.
    """
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    return FORMATS[name](split, count, folder, seed)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="training.data.world.files", description=__doc__)
    parser.add_argument("format", choices=FORMATS, metavar="FORMAT", help=", ".join(FORMATS))
    parser.add_argument("--split", choices=get_args(Split), required=True)
    parser.add_argument("--count", type=int, required=True, help="records")
    parser.add_argument("--out", type=Path, required=True, help="folder; made where it is not")
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args(argv)
    if args.count < 1:
        parser.error("--count must be 1 or more")
    try:
        written = write(args.format, args.split, args.count, args.out, args.seed)
    except OSError as error:
        print(f"{args.out}: {error.strerror}", file=sys.stderr)
        return 1
    for path in written:
        print(path)
    return 0


def _mire(split: Split, count: int, folder: Path, seed: int) -> list[Path]:
    records = mire.records(seed, split, count, _saving(folder))
    return [_json(folder / f"{split}.json", records)]


def _surf(split: Split, count: int, folder: Path, seed: int) -> list[Path]:
    found = list(surf.records(seed, split, count, _saving(folder)))
    captions = [line for _, lines in found for line in lines]
    return [
        _json(folder / f"{split}.json", (record for record, _ in found)),
        _json(folder / f"{split}_captions.json", captions),
    ]


def _imageref(split: Split, count: int, folder: Path, seed: int) -> list[Path]:
    records = imageref.records(seed, split, count, _saving(folder))
    return [_lines(folder / f"{split}.jsonl", records)]


def _imageref_bare(split: Split, count: int, folder: Path, seed: int) -> list[Path]:
    records = imageref.records(seed, split, count, _saving(folder), captioned=False)
    return [_lines(folder / f"{split}.jsonl", records)]


def _mbeir(split: Split, count: int, folder: Path, seed: int) -> list[Path]:
    return mbeir.write(folder, split, count, seed, _saving(folder))


def _products(split: Split, count: int, folder: Path, seed: int) -> list[Path]:
    """Not a published format: pages to retrieve, with the facts of an order of each."""
    records = (_page(seed, split, number, _saving(folder)) for number in range(count))
    return [_lines(folder / f"{split}.jsonl", records)]


def _page(seed: int, split: Split, number: int, save: Save) -> Record:
    product = products.make_product(seed, split, number)
    page = products.make_page(product, split)
    facts = asdict(product)
    del facts["topic"]
    order = asdict(products.make_order(product))
    del order["product"]
    name = f"{split}-{number}"
    images = [save(f"{name}-{place}", shown) for place, shown in enumerate(page.pictures)]
    return facts | {
        "id": name,
        "name": page.name,
        "bullets": page.bullets,
        "images": images,
        "captions": page.captions,
        "order": order,
    }


def _saving(folder: Path) -> Save:
    def save(name: str, shown: Shown) -> str:
        path = f"{IMAGES}/{name}.png"
        (folder / path).write_bytes(png(shown))
        return path

    return save


def _json(path: Path, records: Iterable[Record]) -> Path:
    text = json.dumps(list(records), ensure_ascii=False, indent=1)
    path.write_text(f"{text}\n", encoding="utf-8")
    return path


def _lines(path: Path, records: Iterator[Record]) -> Path:
    with path.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    return path


FORMATS: dict[str, Callable[[Split, int, Path, int], list[Path]]] = {
    "mire": _mire,
    "surf": _surf,
    "imageref": _imageref,
    "imageref-bare": _imageref_bare,
    "mbeir": _mbeir,
    "products": _products,
}


if __name__ == "__main__":
    raise SystemExit(main())
