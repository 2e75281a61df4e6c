"""Who is behind an account, as far as its record tells: what accounts that belong together have in common."""

from modelfence.core.account import Account

PUBLIC_MAIL = frozenset(
    (
        "gmail.com", "googlemail.com", "live.com", "msn.com", "ymail.com", "rocketmail.com", "aol.com", "icloud.com",
        "me.com", "mac.com", "mail.com", "email.com", "zoho.com", "fastmail.com", "fastmail.fm", "hushmail.com",
        "proton.me", "protonmail.com", "pm.me", "tuta.com", "tutanota.com", "posteo.de", "web.de", "t-online.de",
        "freenet.de", "laposte.net", "orange.fr", "wanadoo.fr", "free.fr", "sfr.fr", "libero.it", "seznam.cz", "wp.pl",
        "o2.pl", "comcast.net", "att.net", "verizon.net", "sbcglobal.net", "btinternet.com", "sky.com", "ya.ru",
        "mail.ru", "list.ru", "bk.ru", "inbox.ru", "rambler.ru", "uol.com.br", "bol.com.br", "rediffmail.com", "qq.com",
        "foxmail.com", "163.com", "126.com", "yeah.net", "139.com", "sina.com", "sohu.com", "aliyun.com", "naver.com",
        "daum.net", "hanmail.net", "nate.com",
    )
)  # fmt: skip
"""Where anybody has an address, so that to share one says nothing: the large providers of mailcheck's "List of Popular
Domains" (github.com/mailcheck/mailcheck/wiki) that still serve, and those that came later, as of November 2026."""
PUBLIC_MAIL_BY_COUNTRY = frozenset(("gmx", "hotmail", "outlook", "yahoo", "yandex"))
"""Those that have a domain for each country, by its first label."""


def control_of(account: Account | None) -> tuple[str, ...]:
    """Return the payer, the contact domain and the signup batch, each with its kind; less what says nothing."""
    if account is None:
        return ()
    domain = account.contact_domain
    if domain is not None and (domain in PUBLIC_MAIL or domain.partition(".")[0] in PUBLIC_MAIL_BY_COUNTRY):
        domain = None
    stated = (("payer", account.payer), ("domain", domain), ("batch", account.signup_batch))
    return tuple([f"{kind} {value}" for kind, value in stated if value is not None])
