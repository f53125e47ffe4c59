"""The table ``[features]``: where the features of the frozen part are kept, and who computes them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import field_validator

from rft.config.applicability import CACHED, Applies
from rft.config.path_keys import PATH_OR_URL
from rft.config.tables.base import Count, Table
from rft.runtime.remote.urls import Url, parse_url


class FeaturesConfig(Table):
    """``[features]``: where the features of the frozen part are kept, and who computes them.

    What they are, ``[model]`` says.
    """

    store: Annotated[str | None, PATH_OR_URL, CACHED] = None
    """URL of a folder on S3 or Google's store, where features are kept beside the cache of this machine: what is there
    and wanted is fetched, what is computed is put there."""

    engine: Annotated[Literal["process", "ray"], CACHED] = "process"
    """Who computes features: this process (or those that torchrun starts), or `ray`, the actors of the Ray cluster that
    `RAY_ADDRESS` names, and without it of this machine. They write into the cache, or into `store`."""
    actors: Annotated[
        Count | None, CACHED, Applies(lambda run, _: run.engine == "ray", 'actors are those of features.engine = "ray"')
    ] = None
    """How many processes of the Ray cluster hold the frozen part, each on a CPU, or a CPU and a GPU; one more CPU hands
    out the data. By default as many as there is room for."""

    @property
    def store_url(self) -> Url | None:
        """Where the store is; None where features stay on this machine."""
        return None if self.store is None else parse_url(self.store)

    @field_validator("store")
    @classmethod
    def _check_store(cls, store: str | None) -> str | None:
        if store is not None and "://" not in store:
            raise ValueError(
                "expected the URL of a folder, such as s3://bucket/rft; a folder of this machine that holds the cache "
                "is named by RFT_CACHE"
            )
        return store
