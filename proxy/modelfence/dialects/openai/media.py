"""What requests to OpenAI's API for pictures, sound and moderation ask for: JSON or a form to the facts of a call.

After OpenAI's API reference for images, audio and moderations.

Why `output_tokens` is 0 of a picture and of speech: the fact, and `cap.output_tokens` with it, is about text that a
model writes, and there is none. What they cost is charged when it is reported, and `cap.choices` limits pictures.

Why it is unknown of a transcription, and a cap on it refuses the call: that is text, and the API has no limit for it.

Why a model that is not named is unknown, but empty of a moderation: which one draws then depends on other fields and
changes over time, while moderation has one purpose and costs nothing. A drawing in SVG names a second model.
"""

import re

from modelfence.core.call import Reading
from modelfence.core.dialect import Json, MalformedRequestError, Request
from modelfence.core.extraction import Prompt
from modelfence.core.policy import Reshaping
from modelfence.dialects.openai.prompt import prompt_in
from modelfence.dialects.openai.sizes import prompts_in
from modelfence.dialects.shared.counting import size_of_media
from modelfence.dialects.shared.fields import (
    Body,
    boolean,
    integer,
    json_object,
    mapping,
    model,
    refuse_other_cases,
    string,
    wrong_type,
)
from modelfence.dialects.shared.multipart import Form, form
from modelfence.dialects.shared.tokens import IMAGE_TOKENS, size_of, size_of_content, tokens_in

FORMS = {
    "/v1/images/edits": ("image", "mask", "markup"),
    "/v1/images/variations": ("image",),
    "/v1/audio/transcriptions": ("file",),
    "/v1/audio/translations": ("file",),
}
"""The paths that take a form, and the files they read."""
_IN_JSON = ("model", "prompt", "n", "stream", "svg", "input", "instructions", "stream_format")
_ONE_TEXT = ("model", "prompt", "n", "stream")
_TEXTS = ("include", "keywords", "known_speaker_references", "svg")
_COUNT = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_FLAGS = {"true": True, "false": False}


def read_media(operation: str, request: Request) -> Reading:
    """Return what a call asks for. Raises MalformedRequestError naming the field that is wrong."""
    if request.path in FORMS:
        return _read_form(operation, _checked(form(request), FORMS[request.path]))
    body = json_object(request)
    refuse_other_cases(body, _IN_JSON)
    if operation == "moderation":
        return _read_moderation(body)
    return _read_image(body) if operation == "image" else _read_speech(body)


def reshape_media(operation: str, request: Request, reshaping: Reshaping) -> Json:
    """Return the body with as many pictures as there may be.

    Raises MalformedRequestError where that can't be had: a form goes up as it came.
    """
    most = reshaping.cap.get("choices")
    if request.path in FORMS:
        reading = read_media(operation, request)
        if "logprobs" in reshaping.remove and reading.logprobs:
            raise _cannot("Token probabilities are not available to you: leave 'logprobs' out of 'include'.")
        if most is not None and (reading.choices or 1) > most:
            raise _cannot(f"At most {most} images are available to you at once: lower 'n'.")
        if reading.output_tokens is None and "output_tokens" in reshaping.cap:
            raise _cannot("Transcriptions are not available to you: their length can't be limited.")
        return request.json
    body = request.json
    if most is None or operation != "image" or not isinstance(body, dict):
        return body
    wanted = body.get("n")
    return {**body, "n": min(wanted, most)} if isinstance(wanted, int) else body


def _read_image(body: Body) -> Reading:
    prompt, svg = string(body, "prompt") or "", mapping(body, "svg")
    return Reading(
        "image",
        model=model(body) if body.get("model") is not None and svg is None else None,
        stream=boolean(body, "stream"),
        choices=integer(body, "n", least=1) or 1,
        reasoning=bool(svg and svg.get("reasoning")),
        input_tokens=tokens_in(size_of(prompt)),
        output_tokens=0,
        prompt=_prompt(prompt),
    )


def _read_speech(body: Body) -> Reading:
    spoken, instructions = string(body, "input") or "", string(body, "instructions") or ""
    return Reading(
        "audio",
        model=model(body),
        stream=string(body, "stream_format") == "sse",
        input_tokens=tokens_in(size_of(spoken) + size_of(instructions)),
        output_tokens=0,
        prompt=Prompt(system=_prompt(instructions).user, user=_prompt(spoken).user),
    )


def _read_moderation(body: Body) -> Reading:
    given = body.get("input")
    are_parts = isinstance(given, list) and bool(given) and all(isinstance(part, dict) for part in given)
    return Reading(
        "moderation",
        model=model(body) if body.get("model") is not None else "",
        input_tokens=tokens_in(size_of_content(given)) if are_parts else prompts_in(body, "input")[1],
        output_tokens=0,
        prompt=prompt_in("moderation", body),
    )


def _read_form(operation: str, given: Form) -> Reading:
    is_image, prompt = operation == "image", _text(given, "prompt") or ""
    count, flag = _text(given, "n") if is_image else None, _text(given, "stream")
    if count is not None and not _COUNT.fullmatch(count):
        raise wrong_type("n", "an integer", count)
    if flag is not None and flag not in _FLAGS:
        raise wrong_type("stream", "true or false", flag)
    named: Body = {"model": _text(given, "model")}
    sizes = [size for files in given.files.values() for size in files]
    keywords, references = _all(given, "keywords"), _all(given, "known_speaker_references")
    # Sound is as large as in base64, in which it is counted elsewhere.
    sound = sum(size_of_media(-(-size * 4 // 3)) for size in sizes) + sum(size_of_media(len(one)) for one in references)
    tokens = IMAGE_TOKENS * len(sizes) if is_image else tokens_in(sound)
    svg = _all(given, "svg")
    return Reading(
        operation,
        model=None if is_image and (svg or named["model"] is None) else model(named),
        stream=_FLAGS.get(flag or "false"),
        logprobs=any("logprobs" in one.casefold() for one in _all(given, "include")),
        choices=int(count or 1),
        reasoning=any("reasoning" in one for one in (*svg, *(name for name in given.texts if name.startswith("svg")))),
        input_tokens=tokens + tokens_in(sum(map(size_of, (prompt, *keywords)))),
        output_tokens=0 if is_image else None,
        prompt=_prompt(prompt),
    )


def _checked(given: Form, files: tuple[str, ...]) -> Form:
    """Return a form in which every name that is read is written in one way, and files are files."""
    for name in (*given.texts, *given.files):
        stem, bracket, _ = name.partition("[")
        known = stem.casefold() in {*files, *_ONE_TEXT, *_TEXTS}
        if known and (stem != stem.casefold() or (bracket and stem in _ONE_TEXT)):
            message = f"Unknown parameter: '{name}'. Did you mean '{stem.casefold()}'?"
            raise MalformedRequestError(message)
        if known and name in (given.texts if stem in files else given.files):
            raise MalformedRequestError(f"The field '{name}' must be {'a file' if stem in files else 'a text'}.")
    return given


def _text(given: Form, name: str) -> str | None:
    """Return the one text of a field, None when absent."""
    texts = given.texts.get(name, ())
    if len(texts) > 1:
        raise MalformedRequestError(f"The field '{name}' must be given once.")
    return texts[0] if texts else None


def _all(given: Form, stem: str) -> list[str]:
    """Return the texts of a field that may have several, however its name is written in a form."""
    return [text for name, texts in given.texts.items() if name.partition("[")[0] == stem for text in texts]


def _prompt(text: str) -> Prompt:
    return Prompt(user=(text,) if text else ())


def _cannot(message: str) -> MalformedRequestError:
    return MalformedRequestError(message, status=403)
