"""The command line of `experiments.language_model`."""

from experiments import lab

if __name__ == "__main__":
    lab.run("experiments.language_model")
