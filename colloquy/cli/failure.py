"""Failures that a person can do something about: shown in one line, never as a traceback."""

from colloquy.local.control import StackFailed
from colloquy.profile import ProfileError


class CommandFailed(Exception):
    """The message says what is wrong and, where known, what to do."""


EXPECTED = (CommandFailed, StackFailed, ProfileError)
