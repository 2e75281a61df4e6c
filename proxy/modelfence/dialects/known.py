"""Every dialect, by the name that settings use."""

from collections.abc import Mapping

from modelfence.core.dialect import Dialect
from modelfence.core.realtime import RealtimeDialect
from modelfence.dialects.anthropic.api import Anthropic
from modelfence.dialects.azure.api import Azure
from modelfence.dialects.bedrock.api import Bedrock
from modelfence.dialects.cohere.api import Cohere
from modelfence.dialects.gemini.api import Gemini
from modelfence.dialects.gemini.realtime import GeminiRealtime
from modelfence.dialects.mistral.api import Mistral
from modelfence.dialects.ollama.api import Ollama
from modelfence.dialects.openai.api import OpenAI
from modelfence.dialects.openai.realtime import OpenAIRealtime

DIALECTS: Mapping[str, Dialect] = {
    dialect.name: dialect
    for dialect in (OpenAI(), Azure(), Mistral(), Anthropic(), Cohere(), Gemini(), Bedrock(), Ollama())
}
REALTIME: Mapping[str, RealtimeDialect] = {"openai": OpenAIRealtime(), "gemini": GeminiRealtime()}
"""Those that are also spoken over a websocket."""
