"""docs/settings.md says what the processes of the portal read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kit.settings import Settings
from portal.broker.settings import BrokerSettings
from portal.settings import EdgeSettings

SETTINGS = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()


@pytest.mark.parametrize("settings", [EdgeSettings, BrokerSettings], ids=["portal", "broker"])
def test_settings_are_documented_with_their_defaults(settings: type[Settings]) -> None:
    prefix = settings.model_config["env_prefix"]
    rows = re.findall(rf"^\| `({prefix}[A-Z_]+)` \| [^|]+ \| ([^|]+) \|", SETTINGS, re.MULTILINE)
    documented = dict(rows)
    assert len(documented) == len(rows)
    assert sorted(documented) == sorted(settings.variable(field) for field in settings.model_fields)
    for name, field in settings.model_fields.items():
        said = documented[settings.variable(name)]
        assert (said == "required") == field.is_required()
        if isinstance(field.default, int | str) and field.default:
            assert said.strip("`") == str(field.default)
