"""Analyses of a checkpoint, one per module, for `hfmm inspect`."""
