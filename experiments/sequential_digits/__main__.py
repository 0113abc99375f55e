"""The command line of `experiments.sequential_digits`."""

from experiments import lab

if __name__ == "__main__":
    lab.run("experiments.sequential_digits")
