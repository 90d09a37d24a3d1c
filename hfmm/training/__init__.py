"""Training of the stages of a recipe."""
