"""Pictures and pages that show how convolution works, made from real runs.

from tinycnn.lessons import pictures
pictures.plot_history(model.fit(x, y, epochs=5), "history.png")
"""
