"""Small helpers that do not depend on recipes, data or models."""
