"""Dialogues in files, in the three forms that exist: ours, ms-swift's and raw WeChat's.

`read_dialogues` yields each dialogue of a file, or what is wrong with it and where. Pictures stay
as they are written: paths relative to the file, or addresses.
"""

from colloquy.dialogue_files.reading import Fault, Read, read_dialogues

__all__ = ["Fault", "Read", "read_dialogues"]
