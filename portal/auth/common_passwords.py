"""Words and strings that guessers try first. A password made of nothing else, digits and signs aside, is refused.

The list is of pieces, not of whole passwords: `passwords.py` takes them out and looks at what is left, so that
`Password2026!!` and `letmein-letmein` fall with two entries. Lower case, letters only; `p@ssw0rd` is read as letters.
"""

from __future__ import annotations

_WORDS = """
password passwort passwd passphrase secret geheim letmein welcome willkommen youkoso login logon admin
administrator root superuser sysadmin operator master default changeme changethis replace replaceme placeholder
example sample test testing tester guest demo user username account access private system server network
computer internet homeport portal cloudflare docker wordpress mailserver postmaster webmaster hostmaster backup
office workstation qwerty qwertz azerty asdf asdfgh zxcv zxcvbn qazwsx iloveyou loveyou love lover sweetheart
princess prince angel sunshine shadow monkey dragon tiger eagle falcon phoenix wolf bear lion panda turtle
dolphin chicken butterfly flower rainbow summer winter spring autumn sommer january february march april june
july august september october november december monday tuesday wednesday thursday friday saturday sunday
football baseball basketball soccer hockey tennis golf yankees cowboys superman batman spiderman starwars
pokemon pikachu naruto matrix hello hallo whatever trustno nothing something anything freedom liberty peace
forever family mother father sister brother daughter sakura fuji tokyo osaka kyoto yokohama nagoya sapporo
nippon japan nihon konnichiwa arigato sayonara sakana neko inu kawaii samurai ninja anpanman doraemon totoro
pasuwado himitsu michael jordan jennifer jessica daniel thomas robert charlie andrew joshua ashley matthew
george william taro hanako tanaka suzuki yamada sato correcthorsebatterystaple diamond gold silver purple
orange yellow banana cheese cookie chocolate coffee pepper ginger money dollar lucky killer hunter ranger
soldier jesus christ heaven google apple samsung windows microsoft linux ubuntu debian oracle cisco toyota honda
nissan mazda yamaha ferrari porsche mustang corvette abcd abc def aaaa
"""

COMMON = frozenset(_WORDS.split())
