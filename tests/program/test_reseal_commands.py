"""`panless keys reseal` and `panless keys check`, as operators use them."""

import json
from typing import Any

import pytest
from house import House, Tenant
from program_scene import panless, refusal
from records_scene import rows
from sealed_scene import Place

from vault.tables import customers, tokens
