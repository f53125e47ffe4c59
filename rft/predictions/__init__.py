"""The one reader of a table of predictions: as arrays, by group, and counted in confusion matrices."""
