"""The command line of `experiments.speech`."""

from experiments import lab

if __name__ == "__main__":
    lab.run("experiments.speech")
