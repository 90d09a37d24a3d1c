"""Scores of the saved model, with confidence intervals."""
