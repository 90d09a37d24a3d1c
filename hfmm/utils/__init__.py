"""Small helpers that know nothing of recipes, data or models."""
