"""The texts that citizens are shown or read when they decide. Versioned and hashed; never edited, only succeeded."""

from dataclasses import dataclass
from hashlib import sha256


@dataclass(frozen=True, slots=True)
class ConsentText:
    """One text in one language. ``level`` is a CEFR level; ``A2`` is the easy version."""

    version: str
    language: str
    level: str
    text: str

    @property
    def sha256(self) -> str:
        """The hash of the text as UTF-8, 64 hex digits; it stands on every consent that was given on it."""
        return sha256(self.text.encode()).hexdigest()


TEXTS = (
    ConsentText(
        version="nl-2026-1",
        language="nl",
        level="B1",
        text=(
            "Uw hulpverleners willen met elkaar overleggen over u. Zij hebben zwijgplicht. Daarom vragen wij of u "
            "het goed vindt dat zij bepaalde gegevens met elkaar delen.\n\n"
            "U ziet hieronder met wie, waarover en waarvoor. U mag overal ja of nee op zeggen. Zegt u niets, dan is "
            "het nee. Zegt u nee, dan blijft u gewoon zorg en hulp krijgen.\n\n"
            "U kunt uw toestemming altijd weer intrekken. Dat kan zelf, of door het aan een van uw hulpverleners te "
            "vragen. Vanaf dat moment kan de ander de gegevens niet meer zien. Wat al gelezen is, kan niet ongelezen "
            "worden gemaakt. U kunt altijd zien wie er in uw gegevens heeft gekeken."
        ),
    ),
    ConsentText(
        version="nl-easy-2026-1",
        language="nl",
        level="A2",
        text=(
            "Uw hulpverleners willen samen over u praten. Mag dat?\n\n"
            "U kiest met wie. U kiest waarover. U mag nee zeggen. U krijgt dan toch hulp.\n\n"
            "Wilt u later stoppen? Zeg het tegen uw hulpverlener. Dan stopt het meteen."
        ),
    ),
)

BY_VERSION = {text.version: text for text in TEXTS}
