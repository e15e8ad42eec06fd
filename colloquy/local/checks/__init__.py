"""What `colloquy doctor` looks at, before anything is started."""
