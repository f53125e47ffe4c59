"""How far attributions can be believed, whatever the examples are: measures, gaps between groups, findings."""
