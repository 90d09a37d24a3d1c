"""The libraries below hfmm: imported in less time, and quiet."""

from __future__ import annotations

import gc
import logging

from hfmm.utils.progress import is_interactive


def pause_gc_for_imports() -> None:
    """Stop the garbage collector, which takes a third of the imports' time, until `imported` is called.

    Of the half a million objects that imports make hardly one is garbage. torchao, which transformers imports where it
    is there, is kept from telling of each kernel that it cannot use.
    """
    gc.disable()
    for name in ("torchao", "torch.utils._pytree"):
        logging.getLogger(name).setLevel(logging.ERROR)


def silence_libraries() -> None:
    """Let the libraries speak of errors only, and show their own bars only to a watcher.

    After `importing` the collector starts again, and never looks at what the imports have left.
    """
    import datasets
    import huggingface_hub
    import transformers

    huggingface_hub.logging.set_verbosity_error()
    transformers.logging.set_verbosity_error()
    datasets.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if not is_interactive():
        huggingface_hub.utils.disable_progress_bars()
        datasets.disable_progress_bars()
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
