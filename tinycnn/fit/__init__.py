"""Training: the loop over batches (loop.py), checkpoints, the progress bar, and what is printed of a network."""
