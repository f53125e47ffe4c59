"""Files on object stores, by their URLs."""
