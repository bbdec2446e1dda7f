"""Sphinx's settings; `make docs` builds with them."""

from pacifica.archiveinterface.globals import VERSION

project = "Pacifica Archive Interface"
author = "The Pacifica Archive Interface authors"
release = VERSION
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
