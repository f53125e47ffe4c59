"""An audit from its config to a finished run, and what is made of several runs.

Begin with ``stages.py``: ``run_audit`` is the whole way on one page.
"""
