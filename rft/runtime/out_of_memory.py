"""Errors that say that memory ran out, told from errors of a network or a bug."""

from __future__ import annotations

from rft.errors import ModelError

PHRASES = ("out of memory", "can't allocate memory", "not enough memory")  # of CUDA, MPS and CPU allocators
REMEDY = "Use a device with more memory (--device cpu), or a smaller train.batch_size, model.image_size or backbone."


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out: Python's error, torch's own, or a plain RuntimeError as MPS and CPUs raise it."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"  # torch need not be imported
    return named or (isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in PHRASES))


def raise_if_out_of_memory(error: BaseException) -> None:
    """Raise ``ModelError`` with what to do when memory ran out; for places that read other errors as the network's."""
    if is_out_of_memory(error):
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelError(f"memory ran out: {reason}", remedy=REMEDY) from error
