"""`python -m colloquy.cli`, where the script `colloquy` is not on the path."""

from colloquy.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
