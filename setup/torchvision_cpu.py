"""Lets a CUDA build of torchvision be imported under a CPU build of torch.

PyPI's torchvision wheel is built for CUDA. Beside a CPU torch its compiled part cannot be loaded,
and its import then fails on two operators that were never defined. Their schemas are all that is
missing: nothing here runs detection operators, only picture transforms, which are plain torch.

`python setup/torchvision_cpu.py` copies this file into the environment with a `.pth` beside it, so
that every interpreter of the environment has the hook, those that a model server starts included.
At start the hook costs one entry in `sys.meta_path` and imports nothing; torch comes only with
torchvision. It stands alone: standard library only, and no other file of the checkout is needed.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

MODULE = "colloquy_torchvision_cpu"
OPERATORS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


class TorchvisionFinder:
    """Finds torchvision as Python would, and has its operators defined before it is executed."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "torchvision":
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None or not is_cuda_wheel(spec):
            return spec
        loader = spec.loader
        execute = loader.exec_module

        def define_then_execute(module: ModuleType) -> None:
            define_operators()
            execute(module)

        # An attribute of this one loader, so that everything else a loader does stays its own.
        loader.exec_module = define_then_execute  # type: ignore[method-assign]
        return spec


def is_cuda_wheel(spec: ModuleSpec) -> bool:
    import re
    from pathlib import Path

    if not spec.origin:
        return False
    try:
        text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return False
    return re.search(r"^__version__ = '[^']*\+cu\d+'", text, re.MULTILINE) is not None


def define_operators() -> None:
    """Defines what a CUDA wheel leaves undefined; does nothing where torch has a GPU runtime."""
    try:
        import torch
        import torch.library
    except ImportError:
        return  # torchvision's own import says it better
    if torch.version.cuda is not None or torch.version.hip is not None:
        return
    for name, schema in OPERATORS.items():
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", schema)


def install() -> None:
    """Called by the `.pth` at every start of an interpreter."""
    if TorchvisionFinder not in sys.meta_path:
        sys.meta_path.insert(0, TorchvisionFinder)


def copy_into_environment() -> None:
    import shutil
    import sysconfig
    from pathlib import Path

    folder = Path(sysconfig.get_path("purelib"))
    shutil.copyfile(__file__, folder / f"{MODULE}.py")
    (folder / f"{MODULE}.pth").write_text(f"import {MODULE}; {MODULE}.install()\n")


if __name__ == "__main__":
    copy_into_environment()
