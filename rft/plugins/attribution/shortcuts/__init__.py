"""Suspected shortcuts, whatever the examples are: how they are named, the verdict on them and its words."""
