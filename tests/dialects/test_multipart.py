"""What the reader of forms accepts has one meaning: Python's own reader of mail and tornado's of forms read the same."""

from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado.httputil import parse_multipart_form_data

from modelfence.core.dialect import MalformedRequestError, Request
from modelfence.dialects.shared.multipart import MAX_HEAD_BYTES, MAX_PARTS, Form, form

TYPE = "multipart/form-data; boundary=B"
TEXT = b'Content-Disposition: form-data; name="model"\r\n\r\nm'
FILE = b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n\x00\r\n\xff'


def body_of(*parts: bytes, boundary=b"B"):
    return b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"


def read(body, content_type=TYPE):
    return form(Request("POST", "/v1/audio/transcriptions", (("content-type", content_type),), body))


def refusal(body, content_type=TYPE):
    with pytest.raises(MalformedRequestError) as refused:
        read(body, content_type)
    return refused.value


def with_head(*lines: bytes, content=b"x"):
    return body_of(b"\r\n".join(lines) + b"\r\n\r\n" + content)


def test_texts_and_the_sizes_of_files_are_read_in_order():
    more = [TEXT.replace(b"model", b"include[]") + letter for letter in (b"1", b"2")]
    assert read(body_of(TEXT, FILE, *more)) == Form({"model": ["m"], "include[]": ["m1", "m2"]}, {"file": [4]})


ACCEPTED = {
    "no line end after the last boundary": body_of(TEXT).removesuffix(b"\r\n"),
    "a type for a text": with_head(b'Content-Disposition: form-data; name="model"', b"Content-Type: text/plain"),
    "a type and a length, as OkHttp writes them": with_head(
        b'Content-Disposition: form-data; name="model"',
        b"Content-Type: text/plain; charset=utf-8",
        b"Content-Length: 1",
    ),
    "names of headers in lower case": with_head(b'content-disposition: form-data; name="model"'),
    "no blanks": with_head(b'Content-Disposition:form-data;name="model"'),
    "a text of several lines": body_of(TEXT + b"\r\n\r\n--\r\nC"),
    "an empty text": body_of(TEXT[:-1]),
    "a filename in another writing": body_of(FILE.replace(b"a.wav", "你好.wav".encode())),
    "a parameter of a file's type": body_of(FILE.replace(b"audio/wav", b"audio/webm;codecs=opus")),
}


@pytest.mark.parametrize("body", ACCEPTED.values(), ids=ACCEPTED)
def test_what_common_clients_write_is_read(body):
    assert read(body)


@pytest.mark.parametrize(
    "content_type",
    ['multipart/form-data; boundary="B"', "Multipart/Form-Data;boundary=B", "multipart/form-data ; Boundary=B"],
)
def test_a_boundary_is_found_however_the_header_is_written(content_type):
    assert read(body_of(TEXT), content_type) == Form({"model": ["m"]}, {})


TYPES = [
    "multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=B; boundary=C", TYPE + ";",
    "multipart/form-data; boundary=B C", 'multipart/form-data; boundary="B', "multipart/form-data; boundary*=utf-8''B",
    "multipart/form-data; charset=utf-8; boundary=B", "multipart/mixed; boundary=B", "application/json", "",
    TYPE + ", application/json", "multipart/form-data; boundary=" + "B" * 71, "multipart/form-data; boundary=Ü",
]  # fmt: skip


@pytest.mark.parametrize("content_type", TYPES)
def test_a_content_type_that_names_no_plain_boundary_is_refused(content_type):
    assert refusal(body_of(TEXT), content_type).status == 415


@pytest.mark.parametrize("second", [TYPE, "application/json"])
def test_two_content_types_are_refused(second):
    headers = (("content-type", TYPE), ("content-type", second))
    with pytest.raises(MalformedRequestError):
        form(Request("POST", "/", headers, body_of(TEXT)))


BOUNDARY = "its boundary"
ALONE = "a part may have one Content-Disposition, Content-Type and Content-Length, and no other"
NAMED = "a part must say"
REFUSED = {
    "nothing": (b"", "begin with its boundary"),
    "no parts": (b"--B--\r\n", "begin with its boundary"),
    "the first and the last boundary in one": (b"--B\r\n--B--", "begin with its boundary"),
    "text before the first part": (b"hello\r\n" + body_of(TEXT), "begin with its boundary"),
    "an empty line before the first part": (b"\r\n" + body_of(TEXT), "begin with its boundary"),
    "text after the last part": (body_of(TEXT) + b"bye", "begin with its boundary"),
    "two line ends after the last part": (body_of(TEXT) + b"\r\n", "begin with its boundary"),
    "no last boundary": (body_of(TEXT).replace(b"--B--", b"--C--"), "begin with its boundary"),
    "line feeds only": (body_of(TEXT).replace(b"\r\n", b"\n"), "begin with its boundary"),
    "a line feed before a boundary": (body_of(TEXT + b"\n--B\r\n" + TEXT), BOUNDARY),
    "a return before a boundary": (body_of(TEXT + b"\r--B\r\n" + TEXT), BOUNDARY),
    "a blank after a boundary": (body_of(TEXT + b"\r\n--B \r\n" + TEXT), BOUNDARY),
    "a boundary that goes on": (body_of(TEXT + b"\r\n--BB\r\n" + TEXT), BOUNDARY),
    "a last boundary in the middle": (body_of(TEXT + b"\r\n--B--\r\n" + TEXT), BOUNDARY),
    "a line feed after a boundary": (body_of(TEXT + b"\r\n--B\n" + TEXT), BOUNDARY),
    "a part without a head": (body_of(b"x"), "no headers"),
    "a part with an empty head": (body_of(b"\r\nx"), "no headers"),
    "a head without an end": (body_of(b'Content-Disposition: form-data; name="model"\r\nx'), "no headers"),
    "a long head": (body_of(TEXT.replace(b"model", b"m" * MAX_HEAD_BYTES)), "no headers"),
    "line feeds in a head": (with_head(b'Content-Disposition: form-data; name="n"\nContent-Type: a/b'), ALONE),
    "a head that begins with an empty line": (body_of(b"\r\n" + TEXT), ALONE),
    "a folded header": (with_head(b"Content-Disposition: form-data;", b' name="model"'), ALONE),
    "a header twice": (with_head(*[b'Content-Disposition: form-data; name="model"'] * 2), ALONE),
    "an encoding": (
        with_head(b'Content-Disposition: form-data; name="a"', b"Content-Transfer-Encoding: base64"),
        ALONE,
    ),
    "another header": (with_head(b'Content-Disposition: form-data; name="a"', b"X-Other: 1"), ALONE),
    "a blank before a colon": (with_head(b'Content-Disposition : form-data; name="model"'), ALONE),
    "a zero in a head": (with_head(b'Content-Disposition: form-data; name="mod\x00el"'), ALONE),
    "a header that is not UTF-8": (body_of(FILE.replace(b"a.wav", b"\xff.wav")), "not UTF-8"),
    "no disposition": (with_head(b"Content-Type: text/plain"), NAMED),
    "another disposition": (with_head(b'Content-Disposition: attachment; name="model"'), NAMED),
    "no name": (with_head(b"Content-Disposition: form-data"), NAMED),
    "an empty name": (with_head(b'Content-Disposition: form-data; name=""'), NAMED),
    "a name without quotes": (with_head(b"Content-Disposition: form-data; name=model"), NAMED),
    "two names": (with_head(b'Content-Disposition: form-data; name="a"; name="model"'), NAMED),
    "an escaped name": (with_head(b'Content-Disposition: form-data; name="mod\\el"'), NAMED),
    "a name with a percent sign": (with_head(b'Content-Disposition: form-data; name="mod%65l"'), NAMED),
    "a name in parts": (with_head(b"Content-Disposition: form-data; name*0=mod; name*1=el"), NAMED),
    "an extended name": (with_head(b"Content-Disposition: form-data; name=\"a\"; name*=utf-8''model"), NAMED),
    "an extended filename": (with_head(b"Content-Disposition: form-data; name=\"a\"; filename*=utf-8''b"), NAMED),
    "an empty filename": (with_head(b'Content-Disposition: form-data; name="a"; filename=""'), NAMED),
    "a filename with a semicolon": (
        with_head(b'Content-Disposition: form-data; name="a"; filename="b; name=c"'),
        NAMED,
    ),
    "a filename with an escape": (with_head(b'Content-Disposition: form-data; name="a"; filename="b\\"c"'), NAMED),
    "a name for the encoding": (with_head(b'Content-Disposition: form-data; name="_charset_"'), "'_charset_'"),
    "another length": (with_head(b'Content-Disposition: form-data; name="a"', b"Content-Length: 2"), "of 'a' is not"),
    "parts inside of a part": (body_of(FILE.replace(b"audio/wav", b"multipart/mixed; boundary=C")), "of 'file'"),
    "a mail inside of a part": (body_of(FILE.replace(b"audio/wav", b"message/rfc822")), "of 'file'"),
    "a type that is none": (body_of(FILE.replace(b"audio/wav", b"audio")), "of 'file'"),
    "a text in another encoding": (
        with_head(b'Content-Disposition: form-data; name="model"', b"Content-Type: text/plain; charset=utf-16"),
        "'model' must be plain text",
    ),
    "a text of another type, which some take for a file": (
        with_head(b'Content-Disposition: form-data; name="model"', b"Content-Type: application/octet-stream"),
        "'model' must be plain text",
    ),
    "a text that is not UTF-8": (body_of(TEXT + b"\xff"), "'model' is not UTF-8"),
    "too many parts": (body_of(*[TEXT] * (MAX_PARTS + 1)), f"more than {MAX_PARTS} parts"),
}


@pytest.mark.parametrize(("body", "why"), REFUSED.values(), ids=REFUSED)
def test_what_readers_could_read_differently_is_refused(body, why):
    refused = refusal(body)
    assert refused.status == 400
    assert refused.message.startswith("The form of this request can't be read without doubt: ")
    assert why in refused.message


def test_as_many_parts_as_there_may_be_are_read():
    assert len(read(body_of(*[TEXT] * MAX_PARTS)).texts["model"]) == MAX_PARTS


PIECES = st.sampled_from(
    [
        b"--B", b"--B\r\n", b"--B--", b"--B--\r\n", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"--", b" ", b"\t", b"x", b"\x00",
        b"\xff", b"\x0b", b"\x0c", b"\x85", b"Content-Disposition: form-data; ", b'name="model"', b"; ", b'filename="f"',
        b'name="n"', b"Content-Type: text/plain", b"Content-Type: multipart/mixed; boundary=C", b"Content-Length: 1",
        b"From me", TEXT, FILE, b"\r\n--B\r\n" + TEXT, b"\r\n--B\r\n" + FILE, b"\r\n--B--\r\n", b'"', b"\\", b"; a=b",
    ]
)  # fmt: skip
LIKELY = st.lists(
    st.builds(
        lambda head, content: head + content,
        st.sampled_from([TEXT, FILE, TEXT.replace(b"model", b"n"), FILE.replace(b"a.wav", "ü.wav".encode())]),
        st.lists(PIECES, max_size=4).map(b"".join) | st.binary(max_size=20),
    ),
    max_size=4,
).map(lambda parts: body_of(*parts))


def as_mail_reads_it(body):
    """Return each part's name, whether it is a file, and its content, as Python's reader of mail has them."""
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + TYPE.encode() + b"\r\n\r\n" + body)
    assert message.is_multipart()
    for part in message.iter_parts():
        assert part.get_content_disposition() == "form-data"
        name = part.get_param("name", header="content-disposition")
        yield name, part.get_filename() is not None, part.get_payload(decode=True)


def as_tornado_reads_it(body):
    texts: dict[str, list[bytes]] = {}
    files: dict[str, list[Any]] = {}
    parse_multipart_form_data(b"B", body, texts, files)
    return Form(
        {name: [value.decode() for value in values] for name, values in texts.items()},
        {name: [len(one.body) for one in given] for name, given in files.items()},
    )


@given(body=LIKELY | st.lists(PIECES, max_size=12).map(b"".join) | st.binary())
def test_what_is_accepted_is_read_alike_by_another_reader(body):
    try:
        read_here = read(body)
    except MalformedRequestError:
        return
    texts: dict[str, list[str]] = {}
    files: dict[str, list[int]] = {}
    for name, is_file, content in as_mail_reads_it(body):
        if is_file:
            files.setdefault(name, []).append(len(content))
        else:
            texts.setdefault(name, []).append(content.decode())
    assert read_here == Form(texts, files)


@given(
    parts=st.lists(st.binary(max_size=60), max_size=3), boundary=st.from_regex(r"[A-Za-z0-9_.+-]{1,70}", fullmatch=True)
)
def test_any_content_comes_through_as_it_is(parts, boundary):
    mark = boundary.encode()
    if any(mark in part for part in parts) or mark in FILE or b"Content" in mark:
        return
    body = body_of(FILE, *(FILE.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + part for part in parts), boundary=mark)
    if body.count(b"--" + mark) == len(parts) + 2:
        sizes = read(body, f"multipart/form-data; boundary={boundary}").files["file"]
        assert sizes == [4, *map(len, parts)]
