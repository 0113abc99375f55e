"""Experiments that time machines. Their ratios travel from machine to machine, their milliseconds do not."""
