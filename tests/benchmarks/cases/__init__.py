"""One case a file, each with its `CASE`; the folder is the registry.

A case whose sides train a recipe takes `training.own` for hfmm and `training.plain` for a Trainer script, or
`training.watched` for a Trainer of another library; `prepare` writes the rows and the checkpoint that all sides read.
"""
