"""Figures against peers on one stream and one broker: `python -m benchmarks` (README.md says how)."""
