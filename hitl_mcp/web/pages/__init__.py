"""The pages on which a person signs in, sees what is pending, reviews a request and decides."""

from __future__ import annotations

from hitl_mcp.web.pages.routes import page_routes

__all__ = ["page_routes"]
