"""One HTML file that shows itself: style, charts and plotly.js are inside, and it asks the network for nothing.

Everything that came from a run is escaped by the template, and only the scripts written here may run: the page's own policy
names them by their SHA-256.
"""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import resources
from typing import Any

from gptmill.errors import UserError
from gptmill.report.text import visible

INSTALL = "pip install 'plotly>=6' jinja2"


def render(template: str, *, title: str, figures: dict[str, Any], **values: Any) -> bytes:
    """A page as UTF-8.

    Args:
        template: name of a file in ``web/``.
        figures: by name; the template places each. A page without any runs no script.
        values: what else the template names.

    Raises:
        UserError: plotly or jinja2 is not installed; says how to get them.
    """
    try:
        import plotly
        from jinja2 import Environment, PackageLoader
        from markupsafe import Markup
    except ImportError as error:
        raise UserError(f"a page needs {error.name}: {INSTALL}") from None

    def shown(value: Any) -> Any:
        return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        loader=PackageLoader("gptmill.report", "web"),
        autoescape=True,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["sentence"] = lambda text: text[:1].upper() + text[1:]
    web = resources.files("gptmill.report") / "web"
    scripts = {
        "plotly": (resources.files(plotly) / "package_data" / "plotly.min.js").read_text("utf-8"),
        "script": (web / "page.js").read_text("utf-8"),
    } if figures else {}  # fmt: skip
    page = environment.get_template(template).render(
        **values,
        **{name: Markup(text) for name, text in scripts.items()},
        title=title,
        figures=figures,
        figures_json=Markup(in_script(figures)),
        style=Markup((web / "page.css").read_text("utf-8")),
        policy=policy(*scripts.values()),
    )
    return page.encode("utf-8", "replace")


def in_script(value: Any) -> str:
    """JSON that no browser mistakes for the end of its <script>."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))  # ASCII only
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def policy(*scripts: str) -> str:
    """Content-Security-Policy: these scripts and the page's style, no address anywhere."""
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:"
