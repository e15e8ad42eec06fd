"""The services of the stack; none imports another."""
