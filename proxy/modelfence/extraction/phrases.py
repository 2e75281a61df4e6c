"""Phrases of prompts that make training data: a weight each, and never a block by itself.

Only the names of the signals are kept. A quotation, a question about such prompts or an honest use says the same words,
which is why each is worth little.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelfence.core.extraction import Prompt
from modelfence.extraction.folding import folded

LOOKED_AT = 1_000
"""Characters at each end of the system's text and of the user's last message."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """A pattern, and words of which one must stand in a text for it to be looked for: most texts have none."""

    words: tuple[str, ...]
    pattern: re.Pattern[str]
    also: tuple[str, ...] = ("",)
    """One of these must stand somewhere, too."""


PHRASES: Mapping[str, Phrase] = {
    # "Think step by step, and show your reasoning in full": Orca (arXiv 2306.02707), distillation of chains of thought.
    "reasoning_elicitation": Phrase(
        ("step by", "step-by", "chain of", "chain-of", "<think", "reasoning", "thought process", "derivation"),
        re.compile(
            r"(?:step[- ]by[- ]step|chain[- ]of[- ]thought|<think(?:ing)?>)[^\n]{0,120}"
            r"\b(?:reason|think|explain|solution|answer|show)"
            r"|\b(?:show|write|explain|give|provide|output|include)\b[^\n]{0,40}\b(?:full|complete|detailed|entire|all)\b"
            r"[^\n]{0,20}\b(?:reasoning|thought process|chain of thought|derivation)"
        ),
    ),
    # "Rate the following response": a judge's labels (MT-Bench, arXiv 2306.05685; UltraFeedback, arXiv 2310.01377).
    "judge_rubric": Phrase(
        ("response", "answer", "completion", "assistant"),
        re.compile(
            r"\b(?:rate|score|grade|judge|evaluate|compare)\b[^\n]{0,60}"
            r"\b(?:responses?|answers?|completions?|assistants?)\b"
        ),
        ("scale of", "from 0", "from 1", "out of 10", "rubric", "criteria", "which is better", "which one is better"),
    ),
    # "Come up with a set of task instructions", "rewrite the given prompt": Self-Instruct (arXiv 2212.10560),
    # Evol-Instruct (arXiv 2304.12244) and their like.
    "generator_phrasing": Phrase(
        (
            "prompt",
            "instruction",
            "dataset",
            "pairs",
            "new ",
            "divers",
            "synthetic",
            "training",
            "complex",
            "challenging",
        ),
        re.compile(
            r"\b(?:come up with|generate|create|write|produce|design|brainstorm|invent)\b[^\n.]{0,60}"
            r"\b(?:task instructions?|instructions for"
            r"|(?:new|diverse|synthetic|training|complex|challenging) (?:\w+ ){0,2}"
            r"(?:prompts?|instructions?|questions?|tasks?|examples?|problems?|dialogues?|conversations?|data)"
            r"|training (?:data|examples|samples|set)|dataset"
            r"|(?:q&a|question[- ]answer|instruction[- ]response|input[- ]output) pairs)\b"
            r"|\b(?:rewrite|evolve|complicate|mutate|diversify)\b[^\n.]{0,40}\b(?:prompts?|instructions?)\b"
            r"|\bprompt (?:rewriter|creator|generator|writer)\b"
        ),
        (
            "come up with",
            "generat",
            "creat",
            "write",
            "produce",
            "design",
            "brainstorm",
            "invent",
            "evolve",
            "complicate",
            "mutate",
            "diversify",
        ),
    ),
}
_RECORDS = (
    frozenset({"instruction", "input", "output"}),
    frozenset({"instruction", "output"}),
    frozenset({"instruction", "response"}),
    frozenset({"prompt", "completion"}),
    frozenset({"prompt", "chosen", "rejected"}),
    frozenset({"question", "answer"}),
    frozenset({"reasoning", "answer"}),
    frozenset({"rationale", "answer"}),
)
"""What the records of training sets hold: Alpaca, completions, preference pairs, chains of thought."""
_NAMED = re.compile(r"[\"'`]([a-z_]{4,16})[\"'`]\s*:")
REQUEST_PHRASES = (*PHRASES, "training_schema")


def phrases_in(prompt: Prompt) -> tuple[str, ...]:
    """Return the names of the signals whose phrases stand in the system's text or the user's last message."""
    texts = [*prompt.system[:1], *prompt.user[-1:]]
    looked_at = folded("\n".join(part for text in texts for part in _ends(text)))
    found = [
        name
        for name, phrase in PHRASES.items()
        if _has_any(phrase.words, looked_at) and _has_any(phrase.also, looked_at) and phrase.pattern.search(looked_at)
    ]
    fields = {name.lower() for name in prompt.schema}
    fields.update(_NAMED.findall(looked_at) if '":' in looked_at or "':" in looked_at else ())
    if fields and any(record <= fields for record in _RECORDS):
        found.append("training_schema")
    return tuple(found)


def _has_any(words: Sequence[str], text: str) -> bool:
    for word in words:  # noqa: SIM110 - as a generator it takes twice as long
        if word in text:
            return True
    return False


def _ends(text: str) -> tuple[str, ...]:
    return (text,) if len(text) <= 2 * LOOKED_AT else (text[:LOOKED_AT], text[-LOOKED_AT:])
