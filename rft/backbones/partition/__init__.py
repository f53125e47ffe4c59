"""A classifier in two: the frozen part, run once, and the part that is trained."""
