"""Whole documents: the report, the model card, the comparison."""
