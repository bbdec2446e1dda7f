"""Benchmarks: what things cost, as ratios within one run, since machines differ and are noisy."""
