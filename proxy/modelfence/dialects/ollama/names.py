"""Names of models as Ollama reads them: one model has many spellings, and the fence knows each by one.

After Ollama's `types/model`: a name is `[host/][namespace/]model[:tag]`, what is left out is filled in, and case makes
no difference. So the fact is in lower case, and without the parts that Ollama would fill in: `llama3` stands for
`Llama3:latest` and for `registry.ollama.ai/library/llama3`, too. Rule: a name of another form is refused.
"""

import re

from modelfence.core.dialect import MalformedRequestError

_PART = r"[a-z0-9_][a-z0-9_.-]*"
_NAME = re.compile(rf"(?:(?:({_PART}(?::[0-9]+)?)/)?([a-z0-9_][a-z0-9_-]*)/)?({_PART})(?::({_PART}))?")
_HOST = "registry.ollama.ai"
_NAMESPACE = "library"
_TAG = "latest"


def known_name(given: str) -> str:
    """Return the one spelling of a model's name. Raises MalformedRequestError for what is none."""
    found = _NAME.fullmatch(given.lower()) if given.isascii() else None
    if found is None:
        raise MalformedRequestError("Invalid value for 'model': expected a name such as 'library/model:tag'.")
    host, namespace, model, tag = found.groups()
    host = "" if host is None or host == _HOST else f"{host}/"
    namespace = "" if namespace is None or (namespace == _NAMESPACE and not host) else f"{namespace}/"
    return host + namespace + model + ("" if tag is None or tag == _TAG else f":{tag}")
