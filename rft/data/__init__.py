"""From a manifest or a folder to splits of examples, and the reader of their items."""

from rft.data.images import ImageInputs as Inputs
from rft.data.manifest import Dataset, read

__all__ = ["Dataset", "Inputs", "read"]
