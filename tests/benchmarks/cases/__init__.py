"""One case per file, each with a `CASE`.

A case that trains uses `training.train_with_hfmm` for hfmm, `training.train_with_trainer` for a Trainer script, and
`training.train_and_measure` for the Trainer of another library. `prepare` writes the rows and the checkpoint that all
sides read.
"""
