"""One probe a file: predictions of the test split by something simpler than the tuned model, or from less than it sees.

A probe module has ``CONDITION``, the name under which its scores are recorded, and ``predict(recipe, task, tuned,
data)``, which returns one prediction for each row of ``data["test"]``; ``tuned`` is the model as it was saved, and its
``name_or_path`` the folder that it was loaded from. One that runs weights names them, ``tuned``, ``base`` or
``random``, in ``WEIGHTS``. One that needs more than hfmm does has ``require()``, which raises UserError before anything
is trained. Its docstring explains the condition in the card.
"""
