"""What was measured, as findings, tables, figures and chapters."""
