"""What a letter to a citizen says, by kind: plain Dutch (B1), and the same for everybody.

A letter names no person, no organisation and nothing of a file; what it is about one hears from whoever sent it.
"""

from collections.abc import Mapping
from types import MappingProxyType

from app.notices.kinds import NoticeKind

_GREETING = "Geachte heer, mevrouw,\n\n"
_ASK = (
    "\n\nHebt u vragen? Bel of mail dan met uw contactpersoon. Die vertelt u wat er is gebeurd en wat u kunt doen."
    "\n\nMet vriendelijke groet,\nuw contactpersoon"
)

_TEXTS: Mapping[NoticeKind, str] = {
    NoticeKind.BREAK_GLASS_USED: (
        "Een zorgverlener heeft in een noodgeval in uw gegevens gekeken. U had daar vooraf geen toestemming voor"
        " gegeven. In een noodgeval mag dat. De zorgverlener moest opschrijven waarom, en zag maar een klein deel."
        " Iemand anders controleert nu of het nodig was."
    ),
    NoticeKind.BREAK_GLASS_NOT_JUSTIFIED: (
        "Een zorgverlener heeft in uw gegevens gekeken en zei dat het een noodgeval was. Dat is gecontroleerd. Het"
        " was niet nodig. Dat spijt ons. De organisatie van de zorgverlener weet dit. U mag een klacht indienen."
    ),
    NoticeKind.CONSENT_ASKED: (
        "Wij willen u vragen of andere zorgverleners of hulpverleners iets over u mogen weten. U beslist zelf. Zegt u"
        " niets, dan gebeurt er niets. Uw contactpersoon legt u uit wie wat mag weten, en waarom."
    ),
    NoticeKind.CONSENT_RECORDED: (
        "U hebt toestemming gegeven om iets over u te delen. Dat hebben wij opgeschreven. U mag uw toestemming altijd"
        " weer stoppen. Dat is net zo makkelijk als ja zeggen: bel uw contactpersoon, of doe het zelf online."
    ),
    NoticeKind.ORAL_CONFIRMATION: (
        "U hebt in een gesprek iets besloten over uw gegevens. Een medewerker heeft dat voor u opgeschreven. Klopt"
        " het niet, of bent u van gedachten veranderd? Dan kunt u het ongedaan maken: bel uw contactpersoon, of"
        " doe het zelf online. U hoeft niet te zeggen waarom."
    ),
    NoticeKind.CONSENT_WITHDRAWN: (
        "Een toestemming die u gaf is gestopt. Vanaf nu wordt er niets meer gedeeld door die toestemming. Klopt dit"
        " niet? Dan kunt u opnieuw toestemming geven."
    ),
    NoticeKind.CONSENT_EXPIRING_30: (
        "Een toestemming die u gaf loopt over een maand af. Wilt u dat er dan nog wordt gedeeld? Dan kunt u opnieuw"
        " ja zeggen. Doet u niets, dan stopt het delen vanzelf."
    ),
    NoticeKind.CONSENT_EXPIRING_7: (
        "Een toestemming die u gaf loopt over een week af. Wilt u dat er dan nog wordt gedeeld? Dan kunt u opnieuw ja"
        " zeggen. Doet u niets, dan stopt het delen vanzelf."
    ),
    NoticeKind.CONSENT_REVIEW: (
        "U gaf eerder toestemming om iets over u te delen. Die toestemming loopt nog. Is dat nog goed? Dan hoeft u"
        " niets te doen. Wilt u stoppen? Bel dan uw contactpersoon, of stop zelf online."
    ),
    NoticeKind.RENEWAL_DUE: (
        "U bent jarig geweest. Vanaf deze leeftijd beslist u op een andere manier over uw gegevens. Wij willen daarom"
        " opnieuw met u praten over wat er gedeeld mag worden."
    ),
    NoticeKind.REPRESENTATION_RECORDED: (
        "Wij hebben opgeschreven dat iemand namens u mag meekijken of beslissen. Klopt dat niet? Bel dan uw"
        " contactpersoon."
    ),
    NoticeKind.REPRESENTATION_ENDED: (
        "Iemand die namens u mocht meekijken of beslissen, mag dat nu niet meer. Klopt dat niet? Bel dan uw"
        " contactpersoon."
    ),
    NoticeKind.EXCLUSION_ENDED: (
        "U had gezegd dat iemand niet in uw gegevens mag kijken. Dat is gestopt: die persoon mag weer zien wat bij"
        " zijn of haar werk hoort. Klopt dat niet? Bel dan uw contactpersoon."
    ),
    NoticeKind.OBJECTION_ENDED: (
        "U had bezwaar gemaakt tegen wat een zorgverlener van u ziet. Dat bezwaar is gestopt: de zorgverlener ziet"
        " weer wat voor de behandeling nodig is. Klopt dat niet? Bel dan uw contactpersoon."
    ),
    NoticeKind.PRACTICE_CHANGE_ASKED: (
        "Er is gevraagd of een andere huisartsenpraktijk voor u gaat zorgen. Klopt dat niet? Bel dan uw"
        " contactpersoon."
    ),
    NoticeKind.PRACTICE_CHANGED: (
        "Een andere huisartsenpraktijk zorgt nu voor u. De vorige praktijk kan niet meer in uw gegevens."
        " Toestemmingen die u gaf gaan niet vanzelf mee: de nieuwe praktijk vraagt het u opnieuw."
    ),
    NoticeKind.PRACTICE_CHANGE_OFF: (
        "De overstap naar een andere huisartsenpraktijk gaat nu niet door. Er verandert niets. Wilt u toch"
        " overstappen? Uw contactpersoon vertelt u wat u kunt doen."
    ),
}

LETTERS: Mapping[NoticeKind, str] = MappingProxyType(
    {kind: f"{_GREETING}{text}{_ASK}" for kind, text in _TEXTS.items()}
)
"""Kind to the whole text of its letter. What has none goes to no citizen's home."""
