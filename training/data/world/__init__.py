"""A small seeded world of dialogues with drawn pictures, in English and Chinese."""
