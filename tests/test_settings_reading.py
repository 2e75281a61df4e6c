"""Settings from file, environment and flags."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from modelfence.core.problem import Severity
from modelfence.settings import Address, GeoUpdate, Jwt, Recording, Settings, Tls
from modelfence.settings_reading import load


def read(text: str, tmp_path: Path, environment=None, flags=None):
    file = tmp_path / "modelfence.yaml"
    file.write_text(text)
    return load(file, environment or {}, flags or {})


UPSTREAM = "{name: a, dialect: openai, url: 'https://x', "


def messages(problems) -> list[str]:
    return [f"{problem.message} [{problem.code}]" for problem in problems]


def test_nothing_given_is_a_secure_default():
    settings, problems = load(None, {}, {})
    assert settings == Settings()
    assert problems == ()
    assert settings.listen.host == settings.admin.host == "127.0.0.1"
    assert settings.trusted_proxies == ()


def test_flags_go_before_the_environment_and_that_before_the_file(tmp_path):
    text = "listen: 127.0.0.1:1\nadmin: 127.0.0.1:2\nstore: redis://a\n"
    environment = {"MODELFENCE_LISTEN": "127.0.0.1:3", "MODELFENCE_ADMIN": "127.0.0.1:4"}
    settings, _ = read(text, tmp_path, environment, {"listen": "127.0.0.1:5"})
    assert (settings.listen.port, settings.admin.port, settings.store) == (5, 4, "redis://a")


def test_paths_of_a_file_are_relative_to_it_and_others_to_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "etc").mkdir()
    file = tmp_path / "etc" / "modelfence.yaml"
    file.write_text("policy: p.yaml\n")
    settings, _ = load(file, {"MODELFENCE_ACCOUNTS": "a.yaml"}, {})
    assert settings.policy == tmp_path / "etc" / "p.yaml"
    assert settings.accounts == tmp_path / "a.yaml"


def test_paths_are_relative_to_the_link_that_a_settings_file_is(tmp_path):
    # Kubernetes mounts files as links through `..data`, a link to a folder that is removed at the next change.
    (tmp_path / "..1").mkdir()
    (tmp_path / "..1" / "modelfence.yaml").write_text("accounts: a.yaml\n")
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "modelfence.yaml").symlink_to("..data/modelfence.yaml")
    settings, _ = load(tmp_path / "modelfence.yaml", {}, {"policy": "p.yaml"}, with_upstreams=False)
    assert settings.accounts == tmp_path / "a.yaml"


def test_a_nested_key_has_a_variable_and_a_key_set_to_null_keeps_its_default(tmp_path):
    text = "geo: {country: bundled, asn: null}\nlimits: {store_ms: 20}\ntls: {cert: null}\naudit: {path: null}\n"
    settings, problems = read(
        text, tmp_path, {"MODELFENCE_LIMITS_REQUEST_BYTES": "2MB", "MODELFENCE_GEO_PRIVATE": "DE"}
    )
    assert problems == ()
    assert settings.geo.country is None
    assert settings.geo.private == "DE"
    assert settings.limits.store_ms == 20
    assert settings.limits.request_bytes == 2 << 20


def test_an_audit_log_has_a_path_and_a_key_and_keeps_everything_unless_told_otherwise(tmp_path):
    settings, problems = read("audit: {path: log/audit.jsonl, key_file: audit.key}\n", tmp_path)
    assert problems == ()
    audit = settings.audit
    assert (audit.path, audit.key_file) == (tmp_path / "log" / "audit.jsonl", tmp_path / "audit.key")
    assert (audit.on_failure, audit.addresses, audit.keep) == ("refuse", "plain", 0)
    text = "audit: {addresses: hashed, on_failure: allow, max_bytes: 1GB, rotate_hours: 1, keep: 7}\n"
    audit = read(text, tmp_path)[0].audit
    assert (audit.addresses, audit.on_failure, audit.max_bytes) == ("hashed", "allow", 1 << 30)
    assert (audit.rotate_hours, audit.keep) == (1, 7)


def test_a_recording_is_a_path_relative_to_the_file_that_keeps_no_prompts_unless_told_to(tmp_path):
    settings, problems = read("record: {path: calls.jsonl}", tmp_path)
    assert (settings.record, problems) == (Recording(tmp_path / "calls.jsonl", prompts=False), ())
    settings, _ = read(
        "record: {path: calls.jsonl, prompts: true, max_bytes: 1GB}", tmp_path, {"MODELFENCE_RECORD_KEEP": "3"}
    )
    assert settings.record == Recording(tmp_path / "calls.jsonl", prompts=True, max_bytes=1 << 30, keep=3)


@pytest.mark.parametrize(
    ("written", "percent"), [("5 %", 5.0), ("5%", 5.0), ("0.5 %", 0.5), ("0 %", 0.0), ("100 %", 100.0)]
)
def test_a_candidate_acts_for_a_percentage_of_the_accounts(tmp_path, written, percent):
    settings, problems = read(f"candidate: policies/next.yaml\ncanary: {written}\n", tmp_path)
    assert (problems, settings.canary) == ((), percent)
    assert settings.candidate == tmp_path / "policies" / "next.yaml"
    variables = {"MODELFENCE_CANDIDATE": "next.yaml", "MODELFENCE_CANARY": written}
    assert load(None, variables, {})[0].canary == percent


def test_a_candidate_acts_for_nobody_unless_told_to(tmp_path):
    assert read("candidate: next.yaml", tmp_path)[0].canary == 0
    settings, problems = read("candidate: null\ncanary: 0 %", tmp_path)
    assert (problems, settings.candidate) == ((), None)


def test_a_number_that_lacks_its_percent_sign_is_asked_for_it(tmp_path):
    _, (problem,) = read("candidate: next.yaml\ncanary: 0.05", tmp_path)
    assert problem.hint == "did you mean `0.05 %`?"


def test_a_replay_has_no_candidate(tmp_path):
    (tmp_path / "modelfence.yaml").write_text("candidate: next.yaml\ncanary: 5 %\n")
    settings, problems = load(tmp_path / "modelfence.yaml", {}, {}, with_secrets=False)
    assert (problems, settings) == ((), Settings(file=tmp_path / "modelfence.yaml"))


def test_databases_are_renewed_as_whom_and_from_where_the_settings_say(tmp_path):
    text = "geo_update: {account: 42, license_key: {file: key}, country: GeoLite2-City, url: 'http://127.0.0.1:8/m/'}\n"
    settings, problems = read(text, tmp_path, {"MODELFENCE_GEO_UPDATE_ASN": "GeoLite2-ASN"})
    assert problems == ()
    assert settings.geo_update == GeoUpdate(
        "42", tmp_path / "key", "GeoLite2-City", "GeoLite2-ASN", url="http://127.0.0.1:8/m"
    )
    by_variable, problems = load(None, {"MODELFENCE_GEO_UPDATE_LICENSE_KEY": "{env: KEY}"}, {})
    assert (by_variable.geo_update.license_key, problems) == ("KEY", ())


@pytest.mark.parametrize("text", ["geo_update: {license_key: s3cr3t}", "geo_update: {licence_key: s3cr3t}"])
def test_a_license_key_in_the_wrong_place_is_not_repeated(tmp_path, text):
    settings, [problem] = read(text, tmp_path)
    assert settings is None
    assert "s3cr3t" not in problem.render()


@pytest.mark.parametrize("written", ["forwarded", "Forwarded", "CF-Connecting-IP", "x-forwarded-for"])
def test_one_header_says_who_called_a_trusted_proxy(tmp_path, written):
    settings, problems = read(f"client_address: {written}\n", tmp_path)
    assert (settings.client_address, problems) == (written.lower(), ())


@pytest.mark.parametrize("written", ["10.0.0.0/8, fd00::/8", "[10.0.0.0/8, 'fd00::/8']"])
def test_trusted_proxies_in_a_variable_are_a_list_or_a_text_with_commas(written):
    settings, _ = load(None, {"MODELFENCE_TRUSTED_PROXIES": written}, {})
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def test_an_upstream_takes_its_key_from_the_variable_its_credential_names(tmp_path):
    text = """
upstreams:
  - {name: openai, dialect: openai, url: https://api.openai.com, credential: {env: UP_KEY}}
  - {name: local, dialect: openai, url: "http://[::1]:8000/base/", prefix: /local, max_output_tokens: 4096}
"""
    settings, problems = read(text, tmp_path, {"UP_KEY": "sk-1"})
    assert problems == ()
    openai, local = settings.upstreams
    assert (openai.secret, openai.scheme, openai.host, openai.port, openai.prefix) == (
        "sk-1",
        "https",
        "api.openai.com",
        443,
        "",
    )
    assert (local.secret, local.url, local.prefix, local.max_output_tokens) == (
        None,
        "http://[::1]:8000/base",
        "/local",
        4096,
    )


def test_files_of_certificates_are_relative_to_the_file_that_names_them(tmp_path):
    text = """
tls: {cert: etc/cert.pem, client_ca: etc/clients.pem}
proxy_protocol_from: [10.0.0.0/8]
upstreams: [{name: a, dialect: openai, url: 'https://x', ca: etc/ca.pem}]
"""
    settings, problems = read(text, tmp_path, {"MODELFENCE_TLS_KEY": "/run/key.pem"})
    assert problems == ()
    etc = tmp_path / "etc"
    assert settings.tls == Tls(etc / "cert.pem", Path("/run/key.pem"), etc / "clients.pem")
    assert settings.upstreams[0].ca == str(etc / "ca.pem")
    assert settings.proxy_protocol_from == (ip_network("10.0.0.0/8"),)


def test_usage_is_asked_for_on_streams_unless_the_upstream_says_no(tmp_path):
    one = "{name: a, dialect: openai, url: 'https://x'}"
    other = "{name: b, dialect: openai, url: 'https://y', prefix: /b, stream_usage: false}"
    settings, _ = read(f"upstreams: [{one}, {other}]", tmp_path)
    assert [upstream.stream_usage for upstream in settings.upstreams] == [True, False]


@pytest.mark.parametrize(
    ("host", "dialect"),
    {
        "api.openai.com": "openai",
        "llm.example.com": "openai",
        "API.anthropic.com": "anthropic",
        "api.anthropic.com.example.com": "openai",
        "generativelanguage.googleapis.com": "gemini",
        "mine.openai.azure.com": "azure",
        "bedrock-runtime.eu-central-1.amazonaws.com": "bedrock",
        "api.cohere.com": "cohere",
        "api.mistral.ai": "mistral",
    }.items(),
)
def test_a_url_alone_speaks_what_its_host_is_known_for(host, dialect):
    settings, problems = load(None, {}, {"upstreams": f"https://{host}"})
    assert settings is not None, problems
    assert [(one.name, one.dialect, one.host) for one in settings.upstreams] == [(dialect, dialect, host.lower())]


def test_one_upstream_can_be_given_by_its_url_alone():
    settings, _ = load(None, {}, {"upstreams": "https://api.openai.com"})
    (upstream,) = settings.upstreams
    assert (upstream.name, upstream.dialect, upstream.url, upstream.secret) == (
        "openai",
        "openai",
        "https://api.openai.com",
        None,
    )


def test_an_unknown_variable_is_a_warning_with_a_suggestion():
    settings, (warning,) = load(None, {"MODELFENCE_STOR": "memory", "MODELFENCE_CONFIG": "x", "OTHER": "y"}, {})
    assert settings is not None
    assert warning.severity is Severity.WARNING
    assert warning.hint == "did you mean `MODELFENCE_STORE`?"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("listne: 127.0.0.1:1", "unknown setting `listne` [unknown-setting]"),
        ("geo: {county: bundled}", "unknown setting `county` [unknown-setting]"),
        ("listen: 8080", "an address and port like 127.0.0.1:8080 is expected here, not `8080` [bad-address]"),
        ("listen: example.com:1", "an address and port like 127.0.0.1:8080 is expected here, not `example.com:1` [bad-address]"),
        ("listen: 127.0.0.1:65536", "an address and port like 127.0.0.1:8080 is expected here, not `127.0.0.1:65536` [bad-address]"),
        ("workers: 4", "several workers need a shared store: give `store: redis://…` [no-shared-store]"),
        ("workers: none", "a whole number is expected here, not `none` [wrong-type]"),
        ("store: sqlite", "a store is `memory`, or begins with redis://, rediss://, redis+sentinel://, rediss+sentinel://, redis+cluster:// or rediss+cluster:// [bad-store]"),
        ("store: 'redis://host/0?db=1'", "the store's query names an option that does not exist for redis://; there are none [bad-store]"),
        ("client_address: x-forwarded", "`x-forwarded` is not possible here [unknown-value]"),
        ("geo_update: {account: sk12}", "the number of a MaxMind account is expected here [bad-account]"),
        ("geo_update: {country: ../x}", "an edition like GeoLite2-Country is expected here, not `../x` [bad-edition]"),
        ("geo_update: {url: 'http://a.test'}", "the https URL of MaxMind or of a mirror is expected here [bad-url]"),
        ("geo_update: {url: 'https://a.test:65536'}", "the https URL of MaxMind or of a mirror is expected here [bad-url]"),
        ("geo_update: {url: 'https://u:p@a.test'}", "the https URL of MaxMind or of a mirror is expected here [bad-url]"),
        ("trusted_proxies: [10.0.0.0/33]", "a network like 10.0.0.0/8 is expected here, not `10.0.0.0/33` [bad-network]"),
        ("trusted_proxies: [10.0.0.1/8]", "a network like 10.0.0.0/8 is expected here, not `10.0.0.1/8` [bad-network]"),
        ("proxy_protocol_from: [10.0.0.1/8]", "a network like 10.0.0.0/8 is expected here, not `10.0.0.1/8` [bad-network]"),
        ("upstreams: [{name: a, dialect: openai, url: 'http://x', ca: ca.pem}]", "`a` is not reached over https, so nothing of it would be verified [needless-ca]"),
        (
            "upstreams:\n- {name: a, dialect: openai, url: 'https://x', ca: a.pem}\n- {name: b, dialect: openai, url: 'https://x', prefix: /b}",
            "`a` has the same host and port, and another `ca`; connections are shared by both [unclear-ca]",
        ),
        ("canary: 5 %", "a canary needs a candidate to try: give `candidate: policies/next.yaml` [no-candidate]"),
        ("candidate: next.yaml\ncanary: 5", "a percentage like 5 % is expected here, not `5` [bad-percentage]"),
        ("candidate: next.yaml\ncanary: 101 %", "a percentage like 5 % is expected here, not `101 %` [bad-percentage]"),
        ("candidate: next.yaml\ncanary: -1 %", "a percentage like 5 % is expected here, not `-1 %` [bad-percentage]"),
        ("audit: {addresses: none}", "`none` is not possible here [unknown-value]"),
        ("limits: {request_bytes: 20 apples}", "a size like 20MB is expected here, not `20 apples` [wrong-type]"),
        ("record: {prompts: maybe}", "`maybe` is not possible here [unknown-value]"),
        ("record: {keep: 0}", "`0` is not between 1 and 1000 [out-of-range]"),
        ("limits: {store_ms: 0}", "`0` is not between 1 and 2000 [out-of-range]"),
        ("accounts: https://x", "accounts are in a file, or in Redis servers whose URL begins with redis:// [bad-accounts]"),
        ("accounts: redis+sentinel://x", "a store is written as redis+sentinel://HOST:26379,HOST:26379/MASTER; in a password `/`, `#`, `?`, `@` and `,` are %2F, %23, %3F, %40 and %2C [bad-accounts]"),
        ("geo: {private: Germany}", "a country code like US is expected here, not `Germany` [bad-country]"),
        ("upstreams: [{name: a, dialect: openai}]", "`url` is missing [missing-setting]"),
        ("upstreams: [{name: a, dialect: opnai, url: https://x}]", "`opnai` is not possible here [unknown-value]"),
        ("upstreams: [{name: a, dialect: openai, url: ftp://x}]", "a URL like https://api.openai.com is expected here [bad-url]"),
        ("upstreams: [{name: a, dialect: openai, url: 'https://x', prefix: a/}]", "a prefix like /openai is expected here, not `a/` [bad-prefix]"),
        (
            "upstreams: [{name: a, dialect: openai, url: 'https://x', credential: {env: NOT_SET}}]",
            "`a` takes its key from NOT_SET, which is not set [no-credential]",
        ),
        (
            "upstreams:\n- {name: a, dialect: openai, url: 'https://x'}\n- {name: b, dialect: openai, url: 'https://y'}",
            "two upstreams have the prefix `` [duplicate-upstream]",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_sentence(text, expected, tmp_path):
    settings, problems = read(text, tmp_path)
    assert settings is None
    assert messages(problems) == [expected]


def test_an_upstream_takes_its_key_from_the_file_its_credential_names(tmp_path):
    (tmp_path / "key").write_text("sk-1\n")
    text = f"upstreams: [{UPSTREAM}credential: {{file: key}}}}]"
    settings, problems = read(text, tmp_path)
    assert problems == ()
    assert settings.upstreams[0].secret == "sk-1"
    assert load(tmp_path / "modelfence.yaml", {}, {}, with_secrets=False)[0].upstreams[0].secret is None


def test_a_key_in_a_variable_may_have_an_end_of_line_as_one_in_a_file(tmp_path):
    # A Secret of Kubernetes that was made from a file has one.
    text = f"upstreams: [{UPSTREAM}credential: {{env: A_KEY}}}}]"
    (tmp_path / "modelfence.yaml").write_text(text)
    settings, problems = load(tmp_path / "modelfence.yaml", {"A_KEY": "sk-1\n"}, {})
    assert problems == ()
    assert settings.upstreams[0].secret == "sk-1"


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (None, "can't be read: no such file or directory"),
        ("\n", "is empty"),
        ("sk 1", "holds spaces or control characters"),
        ("sk-1\n\n", "holds spaces or control characters"),
        ("k" * 16_385, "is larger than 16 kB"),
    ],
)
def test_what_is_wrong_with_a_key_in_a_file_is_said_without_the_files_name(held, expected, tmp_path):
    # The name may be the key itself, put in the wrong place.
    if held is not None:
        (tmp_path / "key").write_text(held)
    settings, problems = read(f"upstreams: [{UPSTREAM}credential: {{file: key}}}}]", tmp_path)
    assert settings is None
    assert messages(problems) == [f"`a` takes its key from a file that {expected} [no-credential]"]


def test_a_missing_file_is_a_problem(tmp_path):
    settings, (problem,) = load(tmp_path / "none.yaml", {}, {})
    assert settings is None
    assert problem.message == "can't read the settings: No such file or directory"


@pytest.mark.parametrize(
    "text",
    [
        "store: rediss:/user:hunter2@host",
        "store: redis://:a/hunter2@host",
        "accounts: redis://:a/hunter2@host",
        "accounts: redi://:hunter2@host",
        "store: redis://:a#hunter2@host",
        "store: redis://:hunter2@[host",
        "store: {url: 'redis://:hunter2@host'}",
        "store: redis://:hunter2@host: 6379",
        "store: redis+cluster://:hunter2@a,:hunter2@b",
        "store: redis+sentinel://a/master?sentinel_pasword=hunter2",
        "store: rediss://a?ssl_ca_certs=/ca.pem&hunter2",
        "upstreams: [{name: a, dialect: openai, url: 'https://u:hunter2@x'}]",
        f"upstreams: [{UPSTREAM}credential: hunter2}}]",
        f"upstreams: [{UPSTREAM}credential: [hunter2]}}]",
        f"upstreams: [{UPSTREAM}credential: {{env: hunter2}}}}]",
        f"upstreams: [{UPSTREAM}credential: {{key: hunter2}}}}]",
        f"upstreams: [{UPSTREAM}credential: {{env: A, key: hunter2}}}}]",
        f"upstreams: [{UPSTREAM}credential: {{env: A, file: hunter2}}}}]",
        f"upstreams: [{UPSTREAM}credential: {{file: hunter2}}}}]",
        f"upstreams: [{UPSTREAM}credential: {{file: [hunter2]}}}}]",
        f'upstreams: [{UPSTREAM}credential: {{file: "hunter2\\0"}}}}]',
        f"upstreams: [{UPSTREAM}dialct: openai, credential: hunter2}}]",
        "upstreams:\n- name: a\n  credential:\n    env: [hunter2]\n",
    ],
)
def test_a_problem_never_shows_a_password_or_an_api_key(text, tmp_path):
    settings, problems = read(text, tmp_path)
    assert settings is None
    assert "hunter2" not in "".join(problem.render() for problem in problems)


def test_a_line_with_a_rightly_written_credential_is_shown(tmp_path):
    _, (problem,) = read(
        f"upstreams: [{UPSTREAM}dialct: openai, credential: {{env: UP_KEY}}}}]", tmp_path, {"UP_KEY": "sk-1"}
    )
    assert "dialct" in problem.excerpt


@pytest.mark.parametrize(
    ("store", "shown"),
    [
        ("memory", "memory"),
        ("redis://host:1/0", "redis://host:1/0"),
        ("redis://u:hunter2@host:1/0", "redis://host:1/0"),
        ("rediss://u:hunter2@host/2?ssl_ca_certs=/etc/ca.pem", "rediss://host/2"),
        ("redis://u:hunt@r2@[::1]:1", "redis://[::1]:1"),
        ("redis+cluster://u:hunter2@a:1,b:2", "redis+cluster://a:1,b:2"),
        ("redis+sentinel://u:hunter2@a,b/master/1?sentinel_password=hunter2", "redis+sentinel://a,b/master/1"),
    ],
)
def test_a_store_is_shown_without_its_password(store, shown):
    settings, _ = load(None, {}, {"store": store})
    assert settings.store_shown == shown


def test_secrets_are_not_in_what_settings_print(tmp_path):
    text = "upstreams: [{name: a, dialect: openai, url: 'https://x', credential: {env: UP_KEY}}]\nstore: redis://u:hunter2@host:1/0"
    settings, _ = read(text, tmp_path, {"UP_KEY": "sk-secret"})
    assert settings.store_shown == "redis://host:1/0"
    assert not {"hunter2", "sk-secret"} & set(
        repr(settings).replace("'", " ").replace("@", " ").replace(":", " ").split()
    )


def test_an_ipv6_address_is_written_in_brackets():
    settings, _ = load(None, {}, {"listen": "[::1]:8080"})
    assert settings.listen == Address("::1", 8080)
    assert str(settings.listen) == "[::1]:8080"


def test_an_address_that_repeats_what_callers_paths_begin_with_is_a_warning():
    settings, (warning,) = load(None, {}, {"upstreams": "https://api.openai.com/v1"})
    assert settings.upstreams[0].base_path == "/v1"
    assert (warning.code, warning.severity, warning.hint) == ("doubled-path", Severity.WARNING, "leave /v1 out")


def test_how_tokens_are_verified_is_read_from_file_and_environment(tmp_path):
    text = """
jwt:
  issuer: https://login.example.com/
  audience: [modelfence, other]
  keys: jwks.json
  algorithms: [RS256, ES256, EdDSA]
  account: org
  claims: {tier: kyc_tier, country: "https://example.com/country"}
  leeway_s: 0
"""
    settings, problems = read(text, tmp_path)
    assert problems == ()
    assert settings.jwt == Jwt(
        "https://login.example.com/", ("modelfence", "other"), tmp_path / "jwks.json", ("RS256", "ES256", "EdDSA"), "org",
        {"tier": "kyc_tier", "country": "https://example.com/country"}, 0,
    )  # fmt: skip
    variables = {"ISSUER": "me", "AUDIENCE": "modelfence", "KEYS": "https://x/jwks", "CLAIMS": "{tier: t}"}
    settings, problems = load(None, {f"MODELFENCE_JWT_{name}": value for name, value in variables.items()}, {})
    assert problems == ()
    assert settings.jwt == Jwt("me", ("modelfence",), "https://x/jwks", claims={"tier": "t"})


GIVEN = "jwt: {issuer: i, audience: a, keys: k.json"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("jwt: {issuer: i, keys: k.json}", "tokens can't be verified without `jwt.audience` [missing-setting]"),
        ("jwt: {audience: a, keys: k.json}", "tokens can't be verified without `jwt.issuer` [missing-setting]"),
        ("jwt: {audience: a, issuer: i}", "tokens can't be verified without `jwt.keys` [missing-setting]"),
        ("jwt: {issuer: i, audience: [], keys: k}", "at least one audience is expected here [empty-value]"),
        ("jwt: {issuer: '', audience: a, keys: k}", "a value is expected here [empty-value]"),
        (
            "jwt: {issuer: i, audience: a, keys: 'http://login.example.com/jwks'}",
            "the https URL of a JWK set is expected here, or the path of a file [bad-url]",
        ),
        (
            "jwt: {issuer: i, audience: a, keys: 'https://me:secret@login.example.com/jwks'}",
            "the https URL of a JWK set is expected here, or the path of a file [bad-url]",
        ),
        (
            "jwt: {issuer: i, audience: a, keys: 'https://login.example.com:99999/jwks'}",
            "the https URL of a JWK set is expected here, or the path of a file [bad-url]",
        ),
        (f"{GIVEN}, algorithms: []}}", "at least one algorithm is expected here [empty-value]"),
        (f"{GIVEN}, algorithms: [RS256, RS257]}}", "`RS257` is not possible here [unknown-value]"),
        (
            f"{GIVEN}, algorithms: [RS256, HS256]}}",
            "`HS256` proves nothing: whoever can verify such a token can make one; use one of RS256, ES256, EdDSA [bad-algorithm]",
        ),
        (
            f"{GIVEN}, algorithms: none}}",
            "`none` proves nothing: whoever can verify such a token can make one; use one of RS256, ES256, EdDSA [bad-algorithm]",
        ),
        (f"{GIVEN}, claims: {{teir: t}}}}", "no claim can say `teir` of an account [unknown-fact]"),
        (f"{GIVEN}, claims: {{tier: ''}}}}", "a value is expected here [empty-value]"),
        (f"{GIVEN}, claims: [tier]}}", "a mapping is expected here, not a list [wrong-type]"),
    ],
)
def test_what_would_verify_tokens_wrongly_is_refused(tmp_path, text, expected):
    settings, problems = read(text, tmp_path)
    assert settings is None
    assert messages(problems) == [expected]
    assert not any("secret" in problem.render() for problem in problems)


@pytest.mark.parametrize(
    "url", ["https://x/jwks", "http://127.0.0.1:8000/jwks", "http://localhost/jwks", "http://[::1]/"]
)
def test_keys_come_encrypted_or_from_this_machine(tmp_path, url):
    settings, problems = read(f"jwt: {{issuer: i, audience: a, keys: '{url}'}}", tmp_path)
    assert (problems, settings.jwt.keys) == ((), url)


def test_a_replay_needs_no_keys_of_tokens(tmp_path):
    (tmp_path / "modelfence.yaml").write_text(f"{GIVEN}}}")
    settings, _ = load(tmp_path / "modelfence.yaml", {}, {}, with_secrets=False)
    assert settings.jwt == Jwt()
