"""How Sphinx builds the site: `make docs`. Nothing is fetched, and nothing of the product is imported."""

import re
from pathlib import Path

_PACKAGE = Path(__file__).parents[2] / "src" / "inferway" / "__init__.py"

project = "Inferway"
release = re.findall(r'^__version__ = "(.+)"$', _PACKAGE.read_text("utf-8"), re.MULTILINE)[0]
html_title = f"Inferway {release}"
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["wide.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
extensions = ["myst_parser"]
myst_heading_anchors = 4
highlight_language = "none"
# Two hyphens are an option, and no dash.
smartquotes = False
