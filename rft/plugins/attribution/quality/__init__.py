"""How far attributions can be believed, whatever the examples are: deletion of parts, gaps between groups, findings."""
