"""Tables of any size and kind, read as columns: no row lost, no cell shifted."""
