"""The base of everything that the tools and the REST API answer."""

from pydantic import BaseModel, ConfigDict


class AnswerModel(BaseModel):
    """Base of everything answered: immutable, and serialised by field name."""

    model_config = ConfigDict(frozen=True)
