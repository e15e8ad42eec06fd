"""The supervisor behind `colloquy up`: starts a profile's processes, keeps them, ends them."""
