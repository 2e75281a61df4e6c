"""HTML that can't be escaped too little: what is no `Html` yet becomes text."""

from html import escape

_VOID = frozenset(("meta", "br", "hr"))


class Html(str):
    """Markup that was made here."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: str) -> Html:
    """Return an element. A child that is no `Html` is text; `class_` is `class`, and `_` in other names is `-`."""
    named = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
    written = "".join(f' {key}="{escape(value)}"' for key, value in named.items())
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{together(*children)}</{name}>")


def together(*children: str) -> Html:
    """Return children one after the other, text escaped."""
    return Html("".join(child if isinstance(child, Html) else escape(child) for child in children))
