from tests.executor.conftest import store

__all__ = ["store"]
