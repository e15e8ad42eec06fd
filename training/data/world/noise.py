"""Mistakes of people who type in a hurry."""

import random

from training.data.world.lexicon import Language

ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def with_typos(text: str, language: Language, share: float, rng: random.Random) -> str:
    """Mistypes a share of the words, or of the characters of Chinese; digits stay as they are."""
    if language == "zh":
        return "".join(
            character
            for character in text
            if character.isdecimal() or len(text) < 4 or rng.random() >= share / 2
        )
    words = (
        _mistyped(word, rng) if len(word) > 3 and word.isalpha() and rng.random() < share else word
        for word in text.split(" ")
    )
    return " ".join(words)


def _mistyped(word: str, rng: random.Random) -> str:
    """Swaps, drops, doubles or replaces one letter behind the first."""
    place = rng.randrange(1, len(word) - 1)
    match rng.randrange(4):
        case 0:
            return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
        case 1:
            return word[:place] + word[place + 1 :]
        case 2:
            return word[:place] + word[place] + word[place:]
        case _:
            return word[:place] + rng.choice(ALPHABET) + word[place + 1 :]
