"""``rft plugins``: which plugins there are."""

from __future__ import annotations

from rft.cli.app import Debug, out, report_errors
from rft.cli.output import CommandResult


def plugins(debug: Debug = False) -> CommandResult:
    """List the plugins with version and origin."""
    with report_errors(debug):
        from rft.plugins import discover_plugins

        rows = []
        for name, each in discover_plugins().items():
            missing = each.unmet_requirements()
            state = f"needs {', '.join(missing)}: {each.install_hint()}" if missing else "ready"
            switch = "always on" if each.plugin.always_on else f"[{name}]"
            rows.append([name, each.distribution, each.version, switch, state])
        content = [
            dict(zip(("name", "distribution", "version", "switched_on_by", "state"), row, strict=True)) for row in rows
        ]
        out.table(["plugin", "from", "version", "switched on by", "state"], rows, numeric=[False] * 5)
        return CommandResult({"plugins": content})
