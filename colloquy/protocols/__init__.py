"""The exact prompt, grammar and parser of each model family: pure functions, no I/O.

Training and serving render with the same functions, so a model is asked in production exactly as
it was taught.
"""
