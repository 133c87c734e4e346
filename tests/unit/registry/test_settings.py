from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.registry.settings import RegistrySettings


def test_a_registry_is_in_the_region_with_the_nearest_centre_unless_it_says_otherwise() -> None:
    tokyo = RegistrySettings(registry_latitude=35.7, registry_longitude=139.7)
    assert tokyo.region == "Asia"
    assert tokyo.model_copy(update={"registry_region": "eu-1"}).region == "eu-1"
    assert RegistrySettings().region == "Europe"


def test_a_registry_that_others_reach_must_ask_for_a_token() -> None:
    with pytest.raises(ValidationError, match="set control_token to a secret of your choice"):
        RegistrySettings(registry_host="0.0.0.0")
    assert not RegistrySettings(registry_host="0.0.0.0", control_token="secret").is_local


def test_a_name_that_can_not_be_a_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="registry_name"):
        RegistrySettings(registry_name="a/b")
