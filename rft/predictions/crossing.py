"""What stands between the names of attributes, and of groups, that are crossed: ``sex x race``."""

CROSSING_SEPARATOR = " x "
