"""Where each API shows the model's reasoning in its answers.

Bedrock is not here: its binary events can't be changed without being made anew, so a call whose reasoning is to be
hidden is refused. Neither are thoughts that a server has left within the text of an answer, between `<think>` and
`</think>`: whoever runs such a server has it take them out (vLLM: `--reasoning-parser`).
"""

from collections.abc import Mapping

from modelfence.core.hiding import Hidden

_OPENAI = Hidden(
    # DeepSeek, vLLM, SGLang and OpenRouter; OpenAI's own chat completions show none.
    fields=frozenset(("reasoning_content", "reasoning", "reasoning_details")),
    of_type={"reasoning": ("content", "summary", "encrypted_content")},
    events=("response.reasoning",),
)
REASONING: Mapping[str, Hidden] = {
    "openai": _OPENAI,
    "azure": _OPENAI,
    "anthropic": Hidden(
        of_type={
            "thinking": ("thinking", "signature"),
            "redacted_thinking": ("data",),
            "thinking_delta": ("thinking",),
            "signature_delta": ("signature",),
        }
    ),
    "gemini": Hidden(fields=_OPENAI.fields, flagged={"thought": ("text", "thoughtSignature")}),
    "cohere": Hidden(fields=frozenset(("thinking",))),
    "mistral": Hidden(fields=_OPENAI.fields, of_type={"thinking": ("thinking",)}),
    "ollama": Hidden(fields=_OPENAI.fields | {"thinking"}),
}
