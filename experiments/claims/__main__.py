"""The command line of `experiments.claims`."""

from experiments import lab

if __name__ == "__main__":
    lab.run("experiments.claims")
