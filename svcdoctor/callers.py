"""Which Services a workload names: in environment variables, commands, arguments and the ConfigMaps it takes them from."""

from __future__ import annotations
