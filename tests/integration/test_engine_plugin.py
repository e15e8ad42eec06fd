"""A new vLLM may change what the plugin replaces: then this fails, and engines are only slower."""

import subprocess
import sys

import pytest

from colloquy.engine.vllm_plugin import SPIN_S

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

LOADED = """
from vllm.plugins import load_general_plugins
load_general_plugins()
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU
print(PunicaWrapperCPU.add_lora_linear.__module__, PunicaWrapperCPU.update_metadata.__module__)
from vllm.distributed.device_communicators.shm_broadcast import SpinCondition
print(SpinCondition.__init__.__defaults__[0])
"""


def test_vllm_finds_the_plugin_and_takes_what_it_changes() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    *functions, spin_s = ran.stdout.split()[-3:]
    assert functions == ["colloquy.engine.cpu_adapters"] * 2
    assert float(spin_s) == SPIN_S
