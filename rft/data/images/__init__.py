"""Images: how one is decoded, prepared as its model wants it, and where a region of it is found after that."""
