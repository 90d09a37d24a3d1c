"""The recipe: its schema, how it is loaded, changed, checked and written."""
