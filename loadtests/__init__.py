"""Load on the public API, with thresholds that decide."""
