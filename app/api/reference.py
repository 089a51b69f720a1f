"""Pages for people: the API reference at ``/docs`` and what each problem means at ``/problems``.

Everything is served from here: no third party learns who reads the documentation, and the content security policy
needs no exception, as neither page has an inline script or style.
"""

from collections.abc import Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route
from swagger_ui_bundle import swagger_ui_path

from app.api.headers import OPENAPI_PATH, REFERENCE_PATH
from app.api.problems import problem_index, problem_page
from app.core.errors import NotFound

VENDORED = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png")

PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Overlegtafel API reference</title>
<link rel="icon" href="{REFERENCE_PATH}/assets/favicon-32x32.png">
<link rel="stylesheet" href="{REFERENCE_PATH}/assets/swagger-ui.css">
<script src="{REFERENCE_PATH}/assets/swagger-ui-bundle.js" defer></script>
<script src="{REFERENCE_PATH}/assets/reference.js" defer></script>
</head>
<body>
<main id="reference"></main>
<noscript><p>This page needs JavaScript; the document does not: <a href="{OPENAPI_PATH}">OpenAPI</a>.</p></noscript>
</body>
</html>
"""

# The packaged Swagger UI reads OpenAPI 3.0 and nothing later. The document stays 3.1; only what this page shows is
# put in the older words: a union with null becomes ``nullable``, ``const`` an ``enum`` of one.
SCRIPT = f"""\
"use strict";

function older(node) {{
  if (Array.isArray(node)) return node.map(older);
  if (node === null || typeof node !== "object") return node;
  let out = Object.fromEntries(Object.entries(node).map(([key, value]) => [key, older(value)]));
  if (Array.isArray(out.type)) {{
    out.nullable = out.type.includes("null");
    out.type = out.type.find((name) => name !== "null");
  }}
  for (const union of ["anyOf", "oneOf"]) {{
    if (!Array.isArray(out[union])) continue;
    const rest = out[union].filter((part) => part.type !== "null");
    if (rest.length < out[union].length) out.nullable = true;
    out[union] = rest;
    if (rest.length === 1) {{
      delete out[union];
      out = {{ ...rest[0], ...out }};
    }}
  }}
  if (typeof out.const === "string") out.enum = [out.const];
  return out;
}}

fetch("{OPENAPI_PATH}")
  .then((response) => response.json())
  .then((document) =>
    SwaggerUIBundle({{
      spec: {{ ...older(document), openapi: "3.0.3" }},
      dom_id: "#reference",
      deepLinking: true,
      docExpansion: "list",
      defaultModelsExpandDepth: 0,
      validatorUrl: null,
    }}),
  );
"""


async def reference_page(_: Request) -> Response:
    """Return the page that shows the API reference."""
    return HTMLResponse(PAGE)


async def reference_asset(request: Request) -> Response:
    """Return one of the files the page is made of.

    Raises:
        NotFound: it is not one of them.
    """
    name = request.path_params["name"]
    if name == "reference.js":
        return Response(SCRIPT, media_type="text/javascript")
    if name not in VENDORED:
        raise NotFound
    return FileResponse(Path(swagger_ui_path) / name)


async def problem_index_page(_: Request) -> Response:
    """Return the list of everything that can be refused."""
    return HTMLResponse(problem_index())


async def problem_type_page(request: Request) -> Response:
    """Return what one problem type means.

    Raises:
        NotFound: there is no such code.
    """
    page = problem_page(request.path_params["code"])
    if page is None:
        raise NotFound
    return HTMLResponse(page)


def reference_routes() -> Sequence[Route]:
    """Return the routes of these pages; they stand outside the API and its document."""
    return (
        Route(REFERENCE_PATH, reference_page),
        Route(f"{REFERENCE_PATH}/assets/{{name}}", reference_asset),
        Route("/problems", problem_index_page),
        Route("/problems/{code}", problem_type_page),
    )
