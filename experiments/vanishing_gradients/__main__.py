"""The command line of `experiments.vanishing_gradients`."""

from experiments import lab

if __name__ == "__main__":
    lab.run("experiments.vanishing_gradients")
