"""What the columns of a table may be: by their names, and by the cells of its first rows."""
