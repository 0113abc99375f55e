def page(record):
    return ["t", ["f"]]


def draw(record):
    import matplotlib.pyplot as plt

    return plt.figure()
