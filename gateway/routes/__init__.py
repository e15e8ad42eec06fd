"""HTTP in, contract out: one file a capability."""
