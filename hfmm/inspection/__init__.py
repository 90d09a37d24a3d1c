"""What a checkpoint looks like inside: one question a file, asked with `hfmm inspect`."""
