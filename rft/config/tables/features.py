"""The table ``[features]``: where the features of the frozen part are kept."""

from __future__ import annotations

from typing import Annotated

from pydantic import field_validator

from rft.config.applicability import CACHED
from rft.config.path_keys import PATH_OR_URL
from rft.config.tables.base import Table
from rft.runtime.remote.urls import Url, parse_url


class FeaturesConfig(Table):
    """``[features]``: where the features of the frozen part are kept. What they are, ``[model]`` says."""

    store: Annotated[str | None, PATH_OR_URL, CACHED] = None
    """URL of a folder on an object store (`s3://bucket/rft`), where features are kept beside the cache of this machine:
    what is there and wanted is fetched, what is computed is put there."""

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
