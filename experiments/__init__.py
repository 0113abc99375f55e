"""Experiments: one question each, ending in a table, a figure and a record under ``experiments/results/``."""
