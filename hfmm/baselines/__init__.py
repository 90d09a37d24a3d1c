"""Baselines, one per file: simpler predictors, or the same model with less input, evaluated on the test split.

A baseline module defines ``NAME``, the name under which its scores are recorded, and ``predict(plan, task, tuned,
data)``, which returns one prediction per row of ``data["test"]``. ``tuned`` is the model loaded from the run; its
``name_or_path`` is the folder. A baseline that runs weights says which in ``WEIGHTS``: ``tuned``, ``base`` or
``random``. A baseline with extra dependencies defines ``require()``, which raises UserError before training starts.
The module docstring is printed in the model card.
"""
