"""Recipes: the schema, and how they are loaded, overridden, validated and written."""
