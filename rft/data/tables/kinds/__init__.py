"""Kinds of files that tables come in: a file each, with the names of its columns and a reader of its rows."""
