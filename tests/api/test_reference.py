"""The pages for people: complete, served from here alone, and clean under their content security policy."""

import re

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware

from app.api.headers import CSP_DATA, CSP_REFERENCE, Conventions
from app.api.problems import NOT_FOUND, problem_types
from app.api.reference import PAGE, SCRIPT, VENDORED, reference_routes


def make_client() -> httpx.AsyncClient:
    app = Starlette(routes=reference_routes(), middleware=[Middleware(Conventions, public_url="")])
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")


async def test_the_reference_and_all_it_refers_to_are_served_from_here() -> None:
    addresses = re.findall(r'(?:href|src)="([^"]+)"', PAGE)
    assert len(addresses) == 5
    assert all(address.startswith("/") and not address.startswith("//") for address in addresses)
    async with make_client() as client:
        page = await client.get("/docs")
        assets = [await client.get(address) for address in addresses if "/assets/" in address]
    assert page.text == PAGE
    assert page.headers["content-security-policy"] == CSP_REFERENCE
    assert [asset.status_code for asset in assets] == [200] * (len(VENDORED) + 1)
    assert {asset.headers["content-type"].split(";")[0] for asset in assets} == {
        "image/png",
        "text/css",
        "text/javascript",
    }
    assert all(asset.headers["cache-control"] == "no-store" for asset in assets)


def test_the_reference_needs_no_exception_to_its_policy() -> None:
    assert not re.search(r"<style|<script(?![^>]*src=)|style=|\son\w+=|javascript:", PAGE)
    assert "http" not in PAGE + SCRIPT
    assert "unsafe" not in CSP_REFERENCE


@pytest.mark.parametrize(
    "path", ["/docs/assets/index.html", "/docs/assets/%2e%2e", "/docs/assets/%2e%2e%2f__init__.py"]
)
async def test_only_the_files_of_the_page_are_served(path: str) -> None:
    async with make_client() as client:
        response = await client.get(path)
    assert response.status_code == 404


async def test_each_problem_type_has_a_page_of_its_own() -> None:
    async with make_client() as client:
        index = await client.get("/problems")
        pages = [await client.get(f"/problems/{code}") for code in problem_types()]
        unknown = await client.get("/problems/no-such-code")
    assert all(f'href="/problems/{code}"' in index.text for code in problem_types())
    assert {page.status_code for page in pages} == {200}
    assert {page.headers["content-security-policy"] for page in pages} == {CSP_DATA}
    assert (unknown.status_code, unknown.json()) == (404, NOT_FOUND.body)
