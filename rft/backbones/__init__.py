"""From ``library/name`` and weights to a classifier, and its cut into a frozen part and a trained part."""
