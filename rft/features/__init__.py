"""Run the frozen part once over the data and keep what comes out."""

from rft.features.columns import Dense, Features, Lazy, Sharded
from rft.features.store import Store

__all__ = ["Dense", "Features", "Lazy", "Sharded", "Store"]
