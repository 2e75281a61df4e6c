"""Codes of countries, and which of them the European Union is.

Sources: ISO 3166-1 (the Online Browsing Platform of ISO, compared on 2026-11-29 with Debian's iso-codes as pycountry
26.2.16 ships them); Article 52 of the Treaty on European Union for the members (27 since 1 February 2020) and Article
355(1) and (4) of the Treaty on the Functioning of the European Union for their parts that have codes of their own.
"""

from modelfence.core.keys import Text

_CODES = (
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA "
    "CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA "
    "GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP "
    "KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS "
    "MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS "
    "RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW "
    "TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW"
)
COUNTRY_CODE = Text(r"[A-Z]{2}", examples=("US",))
"""How a country is written, whether or not there is one of that code."""
COUNTRIES = frozenset(_CODES.split())
"""ISO 3166-1 alpha-2, as officially assigned: 249 codes."""
KOSOVO = "XK"
"""No code of ISO's, and in common use for Kosovo: databases of addresses have it."""
_MEMBERS = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
EU_MEMBERS = frozenset(_MEMBERS.split())
EU_PARTS = frozenset(("AX", "GF", "GP", "MF", "MQ", "RE", "YT"))
"""Parts of Finland and France where Union law applies, with codes of their own."""
EU = EU_MEMBERS | EU_PARTS
