"""The command line of `experiments.forecasting`."""

from experiments import lab

if __name__ == "__main__":
    lab.run("experiments.forecasting")
