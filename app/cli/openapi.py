"""The committed OpenAPI document: what it must be, and writing it."""

import json
from pathlib import Path

from app.core.settings import load_settings

DOCUMENT = Path(__file__).resolve().parents[2] / "openapi" / "openapi.json"


def document_text() -> str:
    """Return the document of the code as it is, formatted as it is committed."""
    from app.main import create_app, document  # noqa: PLC0415  # only this command needs the whole application

    return json.dumps(document(create_app(load_settings())), indent=2, ensure_ascii=False) + "\n"


def write_document() -> Path:
    """Write the document and return where it is."""
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(document_text(), encoding="utf-8")
    return DOCUMENT
