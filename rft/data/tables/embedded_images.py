"""Images that lie in the cells of a parquet file, as the library datasets of Hugging Face writes them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from rft.data.image_decoding import EmbeddedImage, ImageSource


def embedded_images(path: Path, column: str) -> list[ImageSource | None] | None:
    """Return the image of each row, None for an empty cell; or None where the column does not hold bytes.

    A cell holds the bytes of a file, or ``{"bytes", "path"}``, where a path alone is relative to the parquet file.
    """
    if path.suffix.lower() != ".parquet" or not path.is_file():
        return None
    try:
        schema = pyarrow.parquet.read_schema(path)
        if schema.names.count(column) != 1 or not _holds_bytes(schema.field(column).type):
            return None
        cells = pyarrow.parquet.read_table(path, columns=[column])[column]
    except pa.ArrowInvalid:  # no parquet: it is named when the other columns are read
        return None
    images: list[ImageSource | None] = []
    for chunk in cells.chunks:
        content, paths = (_child_part(chunk, name) for name in ("bytes", "path"))
        for row in range(len(chunk)):
            file = paths[row].as_py() if paths is not None else None
            if content is not None and content[row].is_valid:
                images.append(EmbeddedImage(f"{path.name}, row {len(images) + 1}", content, row))
            else:
                images.append(path.parent / file if file else None)
    return images


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and _holds_bytes(kind.field(place).type)
    holds: bool = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    return holds


def _child_part(chunk: pa.Array, name: str) -> pa.Array | None:
    """Return a part of cells with parts; of plain bytes, these; None where there is no such part."""
    if not pa.types.is_struct(chunk.type):
        return chunk if name == "bytes" else None
    return pc.struct_field(chunk, name) if chunk.type.get_field_index(name) >= 0 else None
