"""What a person reads who comes back from a provider and is not let in. In Dutch, and nothing of the input."""

from collections.abc import Mapping
from html import escape

TEXTS: Mapping[str, tuple[str, str]] = {
    "log-in-not-known": (
        "Deze inlogpoging is niet meer geldig",
        "De poging is verlopen, al gebruikt, of in een andere browser begonnen. Begin opnieuw met inloggen.",
    ),
    "log-in-refused": (
        "U bent niet ingelogd",
        "De inlogdienst heeft niet bevestigd wie u bent, of u bent gestopt. U kunt het opnieuw proberen.",
    ),
    "provider-answer-invalid": (
        "U bent niet ingelogd",
        "Het antwoord van de inlogdienst klopt niet. Probeer het opnieuw of meld het bij uw beheerder.",
    ),
    "second-factor-needed": (
        "Er is een tweede factor nodig",
        "U hebt met één factor ingelogd. Log opnieuw in en gebruik ook uw tweede factor, zoals een code of een app.",
    ),
    "identity-not-linked": (
        "Wij kennen u nog niet",
        (
            "Deze inlogmethode is nog niet aan een account gekoppeld. Werkt u in zorg of sociaal domein? Vraag uw "
            "beheerder om een eenmalige code. Bent u inwoner of naaste? Vraag die aan uw huisartsenpraktijk of "
            "sociaal team. Met de code koppelt u deze inlogmethode eenmalig. Er is niets aangemaakt of bewaard."
        ),
    ),
    "identity-taken": (
        "Deze inlogmethode is al in gebruik",
        "De inlogmethode is aan een ander account gekoppeld. Neem contact op met uw beheerder.",
    ),
    "provider-not-for-you": (
        "Deze inlogmethode is niet voor uw account",
        "Kies op de inlogpagina een andere manier om in te loggen.",
    ),
    "no-engagement": (
        "U hebt geen lopende aanstelling",
        "U bent herkend, maar kunt hier nu niet werken. Neem contact op met uw beheerder.",
    ),
    "session-ended": (
        "Uw sessie is beëindigd",
        "De inlogmethode is niet gekoppeld. Log opnieuw in en probeer het nog eens.",
    ),
    "provider-unavailable": (
        "De inlogdienst is niet bereikbaar",
        "Probeer het over enkele minuten opnieuw, of log op een andere manier in.",
    ),
}
OTHERWISE = ("Inloggen lukt nu niet", "Probeer het over enkele minuten opnieuw.")


def page_for(code: str) -> str:
    """Return the page that tells a person why they were not let in, by the code of the refusal."""
    title, text = TEXTS.get(code, OTHERWISE)
    return (
        '<!doctype html><html lang="nl"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} - Overlegtafel</title></head><body><main><h1>{escape(title)}</h1>"
        f'<p>{escape(text)}</p><p><a href="/">Terug naar het begin</a></p><p><small>Code: {escape(code)}</small></p>'
        "</main></body></html>"
    )
