from tests.tools.conftest import server, template

__all__ = ["server", "template"]
