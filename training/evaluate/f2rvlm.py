"""Scores a file of F2RVLM predictions exactly as the released evaluation does.

python -m training.evaluate.f2rvlm --predictions infer_result.jsonl [--originals MLDR_val.json]
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.evaluate import predictions, slices
from training.evaluate.fragment_metrics import emptiness, macro, micro
from training.evaluate.predictions import Fault, Row
from training.evaluate.tables import print_tables, report_table

SHOWN_FAULTS = 20


class Unusable(Exception):
    """The predictions cannot be scored; the message has one line a reason."""


def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    try:
        rows, faults, merged = _rows(args.predictions, args.originals)
        if faults and not args.skip_bad_lines:
            raise Unusable(_describe(args.predictions, faults))
        if not rows:
            raise Unusable(f"{args.predictions}: holds no prediction")
    except Unusable as failure:
        print(f"evaluate: {failure}", file=sys.stderr)
        return 1
    if faults:
        print(f"evaluate: skipped:\n{_describe(args.predictions, faults)}", file=sys.stderr)
    result = score(rows) | {"skipped_lines": len(faults), "merged_dialogues": merged}
    if args.json:
        print(json.dumps(result, indent=2))
    else:
        print_tables(
            report_table(f"{len(rows)} predictions, micro", {"all": result["micro"]}),
            report_table("macro", {"all": result["macro"]}),
        )
    return 0


def score(rows: Sequence[Row]) -> dict[str, Any]:
    judged = [row.judged() for row in rows]
    return {
        "samples": len(judged),
        "micro": micro(judged).rounded(),
        "macro": macro(judged).rounded(),
        "emptiness": asdict(emptiness(judged)),
    }


def _rows(path: Path, originals: Path | None) -> tuple[list[Row], list[Fault], int]:
    """Rows that are ready to be judged, bad lines, and how many dialogues were put together."""
    try:
        rows, faults = predictions.read(path, labels=originals is None)
        if originals is not None:
            joined, strange = slices.merge(rows, slices.read_originals(originals))
            faults = sorted(faults + strange, key=lambda fault: fault.line)
            return joined, faults, slices.count_cut(rows)
    except OSError as error:
        raise Unusable(f"{path}: cannot be read: {error.strerror}") from error
    except slices.NoDialogues as error:
        raise Unusable(str(error)) from error
    cut = slices.count_cut(rows)
    return (slices.merge_without_originals(rows) if cut else rows), faults, cut


def _describe(path: Path, faults: Sequence[Fault]) -> str:
    lines = [f"{path}:{fault.line}: {fault.why}" for fault in faults[:SHOWN_FAULTS]]
    if len(faults) > SHOWN_FAULTS:
        lines.append(f"... and {len(faults) - SHOWN_FAULTS} more")
    return "\n".join(lines)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate.f2rvlm", description=str(__doc__).splitlines()[0]
    )
    parser.add_argument(
        "--predictions", type=Path, required=True, help="JSON Lines of an inference run"
    )
    parser.add_argument(
        "--originals",
        type=Path,
        help="the JSON list the run was made from; slices (`_split_`) are joined with its gold",
    )
    parser.add_argument(
        "--skip-bad-lines",
        action="store_true",
        help="report bad lines and score the others, as upstream, instead of failing",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, not tables")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
