"""From ``library/name`` and weights to a classifier cut into a frozen prefix and a trainable suffix."""

from rft.backbones.classifier import Classifier, Head, Prefix, hash_tensors, new_head
from rft.backbones.load import LoadedBackbone, architecture, load

__all__ = ["Classifier", "Head", "LoadedBackbone", "Prefix", "architecture", "hash_tensors", "load", "new_head"]
