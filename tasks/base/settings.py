"""The key `model.init` of a recipe: no other key of `model` changes the base model."""

from pydantic import ConfigDict, RootModel

from tasks.formats.origin import Origin


class BaseSettings(RootModel[Origin]):
    """The origin of the weights, in `.root`."""

    model_config = ConfigDict(frozen=True, strict=True)
