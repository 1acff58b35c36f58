"""The key `model.init` of a recipe: nothing else of the section `model` changes what a training starts from."""

from pydantic import ConfigDict, RootModel

from tasks.formats.origin import Origin


class BaseSettings(RootModel[Origin]):
    """Where the weights come from; the origin is `.root`."""

    model_config = ConfigDict(frozen=True, strict=True)
