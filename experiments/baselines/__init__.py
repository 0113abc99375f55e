"""What does not learn a representation, or learns a linear one: the baselines of the applications, a file for each kind."""
