"""The prices of an installation: the shipped table under the settings' own."""

from inferway.settings import Settings
from inferway.usage.prices import OwnPrice, Prices


def make_prices(settings: Settings) -> Prices:
    """Prices usage as this installation does."""
    return Prices(
        {
            name: OwnPrice(**{field: getattr(price, field) for field in OwnPrice.__struct_fields__})
            for name, price in settings.prices.items()
        }
    )
