"""Colloquy finds, understands and answers in conversations that mix text and images."""
