"""How right the models are, in numbers that others can check."""
