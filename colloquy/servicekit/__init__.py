"""How any service behaves: wiring, problems, deadlines, calls, metrics, logs."""
