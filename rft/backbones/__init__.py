"""From ``library/name`` and weights to a classifier, and its cut into a frozen prefix and a trainable suffix."""

from rft.backbones.classifier import Batch, Classifier, Head, hash_tensors, new_head
from rft.backbones.load import LoadedBackbone, load
from rft.backbones.partition.cut import Cut, cut
from rft.backbones.partition.replay import Prefix, Suffix

__all__ = [
    "Batch",
    "Classifier",
    "Cut",
    "Head",
    "LoadedBackbone",
    "Prefix",
    "Suffix",
    "cut",
    "hash_tensors",
    "load",
    "new_head",
]
