"""Sphinx's settings; `make docs` builds with them."""

from pacifica.archiveinterface.globals import VERSION

project = "Pacifica Archive Interface"
author = "The Pacifica Archive Interface authors"
release = VERSION
extensions = ["myst_parser", "sphinx.ext.autodoc"]
# The summary is included by benchmarks/index.md.
exclude_patterns = ["_build", "benchmarks/change.md", "benchmarks/recalls.md", "benchmarks/summary.md"]
html_theme = "furo"
html_title = f"{project} {release}"
html_theme_options = {
    "source_repository": "https://github.com/pacifica/pacifica-archiveinterface/",
    "source_branch": "master",
    "source_directory": "docs/",
}
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_copy_source = False
html_show_sourcelink = False
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
