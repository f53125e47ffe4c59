"""Plugins: what one is, what it sees of a run, and how those that are installed are found."""

from rft.config.options import Options
from rft.plugins.audited_model import AuditedModel
from rft.plugins.protocol import CandidateBackbone, EvidenceCheck, ExaminedData, PlannedWork, Plugin, RunPair
from rft.plugins.registry import Registered, discover_plugins

__all__ = [
    "AuditedModel",
    "CandidateBackbone",
    "EvidenceCheck",
    "ExaminedData",
    "Options",
    "PlannedWork",
    "Plugin",
    "Registered",
    "RunPair",
    "discover_plugins",
]
