"""Faster imports of the Hugging Face libraries, and less output from them."""

from __future__ import annotations

import gc
import logging

from hfmm.utils.progress import is_interactive


def pause_gc_for_imports() -> None:
    """Disable garbage collection until `silence_libraries` is called.

    Garbage collection takes a third of the import time, and almost none of the half a million new objects are garbage.
    """
    gc.disable()
    silence_import_warnings()


def silence_import_warnings() -> None:
    """Silence torchao and bitsandbytes: they are imported if installed, and warn about each kernel they cannot use."""
    for name in ("torchao", "bitsandbytes", "torch.utils._pytree"):
        logging.getLogger(name).setLevel(logging.ERROR)


def silence_libraries() -> None:
    """Let the libraries log errors only, and show their progress bars only in a terminal.

    After `pause_gc_for_imports` this enables garbage collection again, and excludes the imported objects from it.
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
