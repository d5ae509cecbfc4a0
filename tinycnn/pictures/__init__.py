"""Pictures of training, of a network's filters, of what an image becomes in it, and of its mistakes.

    from tinycnn.pictures import plot_confusion, plot_feature_maps, plot_filters, plot_history
    plot_feature_maps(model, x_test[0], "maps.png")

Every function returns a matplotlib Figure, and writes it too where it is given a path that ends in .png, .svg or
.pdf. None of them needs a display, and none changes matplotlib's or the model's state.
"""

from tinycnn.pictures.confusion import confusion_matrix, plot_confusion
from tinycnn.pictures.feature_maps import plot_feature_maps
from tinycnn.pictures.filters import plot_filters
from tinycnn.pictures.history import plot_history

__all__ = ["confusion_matrix", "plot_confusion", "plot_feature_maps", "plot_filters", "plot_history"]
