"""One metric a file, each an `evaluate` module whose face is a plain function."""
