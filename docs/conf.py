"""How the pages of this folder become a site: ``make docs``. Works without a network; a warning is an error."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path

from docutils import nodes
from pygments.lexers.special import TextLexer
from sphinx import addnodes
from sphinx.application import Sphinx

from rft.version import __version__

project = "rft"
release = __version__
copyright = "the authors of rft, Apache-2.0"

extensions = ["myst_parser"]
exclude_patterns = ["_build"]
myst_heading_anchors = 4  # so that [text](page.md#heading) is checked, and works on the code host too
nitpicky = True

html_theme = "furo"  # brings its scripts along, and takes the fonts of the system: nothing comes from elsewhere
html_title = "rft"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_theme_options = {  # the colours of the report: reports/templates/_colours.css
    "light_css_variables": {"color-brand-primary": "#14568f", "color-brand-content": "#14568f"},
    "dark_css_variables": {"color-brand-primary": "#8fc1f2", "color-brand-content": "#8fc1f2"},
}

DOCS = Path(__file__).parent
# Where the site may point to for files that are no pages, such as https://host/owner/rft/blob/main; else it names them.
REPOSITORY = os.environ.get("RFT_DOCS_REPOSITORY", "").rstrip("/")


def link_files_of_the_repository(app: Sphinx, doctree: nodes.document) -> None:
    """Turn links to files outside this folder into links to the code host, or into plain text where none is named."""
    page = Path(app.env.doc2path(app.env.docname)).parent
    for node in [*doctree.findall(addnodes.download_reference), *doctree.findall(addnodes.pending_xref)]:
        target = f"{node['reftarget']}.md" if node.get("refdomain") == "doc" else node["reftarget"]
        place = Path(posixpath.normpath(page / target.partition("#")[0]))
        if DOCS in place.parents or not place.exists():
            continue
        path = place.relative_to(DOCS.parent).as_posix()
        text = nodes.inline("", node.astext(), classes=["repository-file"])
        node.replace_self(
            nodes.reference("", "", text, refuri=f"{REPOSITORY}/{path}", internal=False) if REPOSITORY else text
        )


def setup(app: Sphinx) -> None:
    """Connect what this site needs beyond Sphinx."""
    app.add_lexer("mermaid", TextLexer)  # code hosts draw it; here it stands as text
    app.connect("doctree-read", link_files_of_the_repository, priority=100)  # before files are copied as downloads
