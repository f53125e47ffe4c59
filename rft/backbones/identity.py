"""What the outputs of a backbone depend on beside its tensors and its preprocessing: enough to build it again."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue, SerializerFunctionWrapHandler, model_serializer

from rft.records import Record


class FolderIdentity(Record):
    """A backbone of transformers, which is rebuilt from the config in its folder.

    Attributes:
        pooling: how its outputs become one vector an example.
        config_sha256: over the config of its network.
        layer: whose hidden states, of an encoder of speech, or ``mean``; None for the last, and then it is not written.
    """

    library: Literal["transformers"] = "transformers"
    pooling: str
    config_sha256: str
    layer: int | Literal["mean"] | None = None

    @model_serializer(mode="wrap")
    def _without_absent_layer(self, serialize: SerializerFunctionWrapHandler) -> dict[str, JsonValue]:
        return _leave_out_absent(serialize(self))


class NamedIdentity(Record):
    """A backbone whose library knows it by name.

    Attributes:
        library: as ``BackboneLibrary.name``.
        name: of the model, without a revision of its weights.
        recipe: which of several ways to build it was taken; None where there is one, and then it is not written.
    """

    library: str
    name: str
    recipe: str | None = None

    @model_serializer(mode="wrap")
    def _without_absent_recipe(self, serialize: SerializerFunctionWrapHandler) -> dict[str, JsonValue]:
        return _leave_out_absent(serialize(self))


def _leave_out_absent(content: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {name: value for name, value in content.items() if value is not None}


BackboneIdentity = FolderIdentity | NamedIdentity
