"""The command line of `experiments.exploding_gradients`."""

from experiments import lab

if __name__ == "__main__":
    lab.run("experiments.exploding_gradients")
