"""Sphinx's settings; `make docs` builds with them."""

from pacifica.archiveinterface.globals import VERSION

project = "Pacifica Archive Interface"
author = "The Pacifica Archive Interface authors"
release = VERSION
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "benchmarks/summary.md"]
html_theme = "alabaster"
html_theme_options = {
    "page_width": "1200px",
    "extra_nav_links": {"Repository": "https://github.com/pacifica/pacifica-archiveinterface"},
}
html_static_path = ["_static"]
html_css_files = ["wide.css"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
