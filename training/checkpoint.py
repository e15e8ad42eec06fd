"""The state of a loop on disk: weights, optimiser, step, and which recipe made them."""

import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from training import whole
from training.ending import Refused
from training.origin import Origin

CHECKPOINT = "checkpoint.pt"


def save(
    folder: Path, module: nn.Module, optimiser: torch.optim.Optimizer, step: int, origin: Origin
) -> None:
    """Replaces the checkpoint; a kill leaves the one before."""
    state = {
        "module": module.state_dict(),
        "optimiser": optimiser.state_dict(),
        "step": step,
        "origin": origin.as_json(),
    }
    whole.write_file(folder / CHECKPOINT, lambda file: torch.save(state, file))


def restore(
    folder: Path,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    origin: Origin,
    *,
    tells: bool = True,
) -> int:
    """Puts the checkpoint's state into `module` and `optimiser`; returns how many steps it has.

    Args:
        tells: say on stderr what may differ; one of several processes is enough.

    Raises:
        Refused: the checkpoint is damaged, or another recipe's.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return 0
    state, remark = _checked(path, origin)
    if remark and tells:
        print(remark, file=sys.stderr)
    module.load_state_dict(state["module"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])


def require_same(folder: Path, origin: Origin) -> None:
    """Sees that a checkpoint, if there is one, can be gone on with.

    Raises:
        Refused: as `restore` does.
    """
    if (folder / CHECKPOINT).exists():
        _checked(folder / CHECKPOINT, origin)


def _checked(path: Path, origin: Origin) -> tuple[dict[str, Any], str | None]:
    state = _read(path)
    if "origin" not in state:
        raise Refused(f"{path}: does not say which recipe made it; remove it to begin again")
    return state, origin.check(state["origin"], path)


def _read(path: Path) -> dict[str, Any]:
    """All of the file, its checksums compared: a bit that fell over is no weight."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is None:
                state: dict[str, Any] = torch.load(path, weights_only=True)
                return state
    except (zipfile.BadZipFile, pickle.UnpicklingError, RuntimeError, EOFError):
        pass
    raise Refused(f"{path}: is cut off or damaged; remove it to begin again")
