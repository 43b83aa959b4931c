"""Templates to responses. Everything is escaped; agent-written text is made visible before it gets here."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from starlette.responses import HTMLResponse

_TEMPLATES = "templates"


def load_template(name: str) -> str | None:
    """The source of one template of this distribution, None when there is none of that name."""
    resource = files("hitl_mcp.web") / _TEMPLATES / name
    return resource.read_text("utf-8") if resource.is_file() else None


class Pages:
    """Renders the templates. One for each application."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FunctionLoader(load_template),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update({"utc": utc_text, "machine": machine_time})

    def response(self, template: str, *, status_code: int = 200, **values: object) -> HTMLResponse:
        context = {"person": None, "csrf_token": None, **values}
        return HTMLResponse(self._environment.get_template(template).render(context), status_code)

    def message(self, title: str, text: str, *, status_code: int) -> HTMLResponse:
        """A page that says one thing and leads back to the inbox."""
        return self.response("message.html", status_code=status_code, title=title, text=text)


def utc_text(moment: datetime) -> str:
    """For people, when the browser does not put it into their own time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def machine_time(moment: datetime) -> str:
    """For the `datetime` attribute."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
