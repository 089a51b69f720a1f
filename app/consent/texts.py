"""The texts that citizens are shown or read when they decide. Versioned and hashed; never edited, only succeeded.

A privacy officer checks each of them, translations included, before it is used.
"""
# ruff: noqa: RUF001  # Turkish has a dotless i

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
    ConsentText(
        version="en-2026-1",
        language="en",
        level="B1",
        text=(
            "The people who care for you want to talk with each other about you. They have a duty of secrecy. That "
            "is why we ask whether you agree that they share certain information with each other.\n\n"
            "Below you see with whom, about what and for what purpose. You may say yes or no to each of these. If "
            "you say nothing, that means no. If you say no, you will still get care and help.\n\n"
            "You can always take back your consent. You can do that yourself, or ask one of the people who care for "
            "you. From that moment on the other person can no longer see the information. What has been read cannot "
            "be made unread. You can always see who has looked at your information."
        ),
    ),
    ConsentText(
        version="tr-2026-1",
        language="tr",
        level="B1",
        text=(
            "Size yardım eden kişiler sizin hakkınızda birbirleriyle görüşmek istiyor. Onların sır saklama "
            "yükümlülüğü var. Bu yüzden bazı bilgileri birbirleriyle paylaşmalarını kabul edip etmediğinizi "
            "soruyoruz.\n\n"
            "Aşağıda kiminle, ne hakkında ve ne için olduğunu görüyorsunuz. Her birine evet veya hayır "
            "diyebilirsiniz. Bir şey söylemezseniz bu hayır demektir. Hayır derseniz de bakım ve yardım almaya devam "
            "edersiniz.\n\n"
            "İzninizi her zaman geri alabilirsiniz. Bunu kendiniz yapabilir veya size yardım eden birinden "
            "isteyebilirsiniz. O andan itibaren diğer kişi bilgileri artık göremez. Okunmuş olan bir şey okunmamış "
            "hale getirilemez. Bilgilerinize kimin baktığını her zaman görebilirsiniz."
        ),
    ),
    ConsentText(
        version="nl-2026-2",
        language="nl",
        level="B1",
        text=(
            "Uw hulpverleners willen met elkaar overleggen over u. Zij hebben zwijgplicht. Daarom vragen wij of u "
            "het goed vindt dat zij bepaalde gegevens met elkaar delen.\n\n"
            "U ziet hieronder met wie, waarover en waarvoor. U mag overal ja of nee op zeggen. Zegt u niets, dan is "
            "het nee. Zegt u nee, dan blijft u gewoon zorg en hulp krijgen.\n\n"
            "Soms werkt uw toestemming twee kanten op. De ander mag dan ook zelf iets over u opschrijven, en uw "
            "hulpverleners mogen dat lezen. Bij elke vraag staat of dat zo is.\n\n"
            "Bij elke vraag staat ook tot wanneer uw toestemming geldt. Daarna stopt het delen vanzelf. Staat er "
            "geen datum? Dan geldt uw toestemming tot u die intrekt. Bent u jonger dan 18 jaar? Dan vragen wij het "
            "opnieuw na de verjaardag waarop u meer zelf mag beslissen.\n\n"
            "U kunt uw toestemming altijd weer intrekken. Dat kan zelf, of door het aan een van uw hulpverleners te "
            "vragen. Vanaf dat moment kan de ander de gegevens niet meer zien. Wat al gelezen is, kan niet ongelezen "
            "worden gemaakt. U kunt altijd zien wie er in uw gegevens heeft gekeken."
        ),
    ),
    ConsentText(
        version="nl-easy-2026-2",
        language="nl",
        level="A2",
        text=(
            "Uw hulpverleners willen samen over u praten. Mag dat?\n\n"
            "U kiest met wie. U kiest waarover. U mag nee zeggen. U krijgt dan toch hulp.\n\n"
            "Soms mag de ander ook over u schrijven. Uw hulpverleners lezen dat dan. Dat staat erbij.\n\n"
            "Er staat bij tot welke dag het mag. Staat er geen dag? Dan mag het tot u stopt.\n\n"
            "Wilt u later stoppen? Zeg het tegen uw hulpverlener. Dan stopt het meteen."
        ),
    ),
    ConsentText(
        version="en-2026-2",
        language="en",
        level="B1",
        text=(
            "The people who care for you want to talk with each other about you. They have a duty of secrecy. That "
            "is why we ask whether you agree that they share certain information with each other.\n\n"
            "Below you see with whom, about what and for what purpose. You may say yes or no to each of these. If "
            "you say nothing, that means no. If you say no, you will still get care and help.\n\n"
            "Sometimes your consent works both ways. Then the other person may also write something about you, and "
            "the people who care for you may read it. Each question says whether this is so.\n\n"
            "Each question also says until when your consent holds. After that the sharing stops by itself. Is there "
            "no date? Then your consent holds until you take it back. Are you younger than 18? Then we ask you again "
            "after the birthday from which you may decide more yourself.\n\n"
            "You can always take back your consent. You can do that yourself, or ask one of the people who care for "
            "you. From that moment on the other person can no longer see the information. What has been read cannot "
            "be made unread. You can always see who has looked at your information."
        ),
    ),
    ConsentText(
        version="tr-2026-2",
        language="tr",
        level="B1",
        text=(
            "Size yardım eden kişiler sizin hakkınızda birbirleriyle görüşmek istiyor. Onların sır saklama "
            "yükümlülüğü var. Bu yüzden bazı bilgileri birbirleriyle paylaşmalarını kabul edip etmediğinizi "
            "soruyoruz.\n\n"
            "Aşağıda kiminle, ne hakkında ve ne için olduğunu görüyorsunuz. Her birine evet veya hayır "
            "diyebilirsiniz. Bir şey söylemezseniz bu hayır demektir. Hayır derseniz de bakım ve yardım almaya devam "
            "edersiniz.\n\n"
            "İzniniz bazen iki yönde geçerlidir. O zaman diğer kişi de sizin hakkınızda bir şey yazabilir ve size "
            "yardım eden kişiler bunu okuyabilir. Her soruda bunun böyle olup olmadığı yazar.\n\n"
            "Her soruda izninizin ne zamana kadar geçerli olduğu da yazar. Ondan sonra paylaşım kendiliğinden durur. "
            "Tarih yazmıyorsa, izniniz siz geri alana kadar geçerlidir. 18 yaşından küçük müsünüz? O zaman kendi "
            "başınıza daha fazla karar verebileceğiniz doğum gününüzden sonra size yeniden sorarız.\n\n"
            "İzninizi her zaman geri alabilirsiniz. Bunu kendiniz yapabilir veya size yardım eden birinden "
            "isteyebilirsiniz. O andan itibaren diğer kişi bilgileri artık göremez. Okunmuş olan bir şey okunmamış "
            "hale getirilemez. Bilgilerinize kimin baktığını her zaman görebilirsiniz."
        ),
    ),
)

BY_VERSION = {text.version: text for text in TEXTS}
LANGUAGE_OF = {text.version: text.language for text in TEXTS}
