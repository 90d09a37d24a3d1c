"""The model card and the dataset card, with their plots."""
