"""The same document as `-o json`, in YAML."""

from __future__ import annotations

import msgspec
import yaml

from svcdoctor.finding import Diagnosis
from svcdoctor.report.json import document


def render(diagnosis: Diagnosis) -> str:
    text: str = yaml.safe_dump(msgspec.to_builtins(document(diagnosis)), sort_keys=False, allow_unicode=True, width=120)
    return text
