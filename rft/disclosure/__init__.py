"""Which numbers may leave the machine: ``[report] suppress_below``.

What is withheld is decided before anything is measured, from the predictions themselves (``decide``). The plugins then
see an audited model in which the withheld groups are no groups (``Withheld.without``), so that no aggregate can rest
on them, whatever it is called and wherever it is written. What they hand back is checked once more (``release``).
"""
