"""The command line: every command is a few lines that call the package."""
