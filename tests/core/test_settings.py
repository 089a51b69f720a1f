"""Configuration: unknown keys and unsafe combinations are refused with a sentence, and no secret is ever printed."""

import pytest

from app.core.settings import Settings, SettingsError, load_settings

SECRET = "hunter2-canary"  # a canary to look for
SAFE = {
    "OVERLEGTAFEL_MODE": "production",
    "OVERLEGTAFEL_DATABASE_URL": f"postgresql://app:{SECRET}@db.example/overlegtafel?sslmode=verify-full",
    "OVERLEGTAFEL_KEY_DIR": "/etc/overlegtafel/keys",
    "OVERLEGTAFEL_PUBLIC_URL": "https://overleg.example",
}


def load(monkeypatch: pytest.MonkeyPatch, **values: str) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return load_settings()


def test_a_safe_production_is_accepted_and_prints_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, **SAFE)
    assert settings.socket_url == "wss://overleg.example/api/v1/realtime"
    assert settings.origins == {"https://overleg.example"}
    assert SECRET not in repr(settings)
    assert SECRET not in settings.model_dump_json()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("OVERLEGTAFEL_DATABASE_URL", f"postgresql://app:{SECRET}@db.example/overlegtafel", "verify-full"),
        ("OVERLEGTAFEL_DATABASE_URL", f"postgresql://app:{SECRET}@db.example/x?sslmode=require", "verify-full"),
        ("OVERLEGTAFEL_PUBLIC_URL", "http://overleg.example", "https"),
        ("OVERLEGTAFEL_SOCKET_RATE", "501", "500"),
        ("OVERLEGTAFEL_ALLOWED_ORIGINS", '["http://evil.example"]', "https"),
        ("OVERLEGTAFEL_DATA_DIR", "/etc/overlegtafel", "inside"),
        ("OVERLEGTAFEL_SOCKET_RAET", "50", "OVERLEGTAFEL_SOCKET_RAET"),
        ("OVERLEGTAFEL_TRUSTED_PROXIES", '["0.0.0.0/0"]', "proxy"),
        ("OVERLEGTAFEL_TRUSTED_PROXIES", '["*"]', "OVERLEGTAFEL_TRUSTED_PROXIES"),
        ("OVERLEGTAFEL_PORT", SECRET, "OVERLEGTAFEL_PORT"),
        ("OVERLEGTAFEL_MODE", "demo", "production"),
        ("OVERLEGTAFEL_WAMS", "true", "WAMS cannot be switched on: .* in force is not confirmed"),
    ],
)
def test_an_unsafe_or_unknown_setting_is_refused_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    load(monkeypatch, **SAFE)
    with pytest.raises(SettingsError, match=said) as refused:
        load(monkeypatch, **{name: value})
    assert SECRET not in str(refused.value)


def test_no_deployment_switches_wams_on_and_every_one_may_say_that_it_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, OVERLEGTAFEL_WAMS="false").wams is False
    with pytest.raises(SettingsError, match="ask for consent"):
        load(monkeypatch, OVERLEGTAFEL_WAMS="1")


def test_the_other_roles_are_reached_at_the_same_address() -> None:
    settings = Settings(database_url="postgresql://app:pw@/db?host=/run/pg")
    assert settings.role_url("stream") == "postgresql://stream:pw@/db?host=/run/pg"
