"""The baselines of the applications, a file for each kind: what is simple, linear or classical."""
