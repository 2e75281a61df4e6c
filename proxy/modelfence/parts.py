"""What a fence reads from files and exchanges while it runs: policy, accounts, geo databases and keys of tokens.

Rule: what is wrong never takes the place of what is right. When a part that is read again can't be used, the one in
force stays; so it does before a policy under which nobody could be let in, or accounts of tiers the policy has not.

Why a candidate that can't be used keeps nothing from starting or from being exchanged: it is there to be tried. The
live policy then acts for everybody, as it does for most in any case.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from modelfence.adapters.accounts.file import AccountsFile, read_accounts
from modelfence.adapters.geo.databases import GeoDatabaseError, GeoDatabases
from modelfence.adapters.tokens.keys import KeySet, KeySetError, read_keys
from modelfence.core.canary import Canary
from modelfence.core.decision import nobody_unknown_is_let_in
from modelfence.core.policy import Mode, Policy
from modelfence.core.problem import Problem, Severity
from modelfence.policy.compile import compile_policy
from modelfence.policy.files import shipped
from modelfence.settings import CannotStartError, Geo, Jwt, Settings
from modelfence.source_files import Files, SourceFiles, Stamp

_IN_SHADOW = (
    "it is in `mode: shadow`, so it would let everybody in for whom it acts; leave `mode` out: a candidate acts on"
    " nothing until `canary` says for whom"
)
_EXEMPTIONS = (
    "this exempts other templates than the live policy, and evidence is gathered once: those of the live policy count"
)
_NOBODY = Canary(0, "")
_REGION = "client.region"
_REGION_HINT = "name a City or Enterprise database under `geo.country`"


def shipped_policy() -> Path:
    """Return the path of the policy that comes with the fence."""
    return shipped() / "default.yaml"


type PolicyRead = tuple[Policy, tuple[Problem, ...]]
type AccountsRead = tuple[AccountsFile | None, tuple[Problem, ...]]


@dataclass(frozen=True, slots=True)
class CandidatePart:
    """A policy that is tried beside the live one, or why it is not."""

    policy: Policy | None = None
    canary: Canary = _NOBODY
    warnings: tuple[Problem, ...] = ()
    failure: CannotStartError | None = None
    """Why what the file holds now can't be used. Then the policy is the last good one, or none."""

    @property
    def shown(self) -> str | None:
        """Return in words what is tried on whom; None where the settings name no candidate."""
        if self.policy is None:
            return None if self.failure is None else "not in force: it can't be used"
        share = self.canary.percent
        return f"{self.policy.hash}, " + (f"acts for {share:g} % of the accounts" if share else "only watches")


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything a fence needs that is not a connection."""

    policy: Policy
    policy_path: Path
    accounts: AccountsFile | None
    """None where they are asked for over a connection."""
    geo: GeoDatabases
    keys: KeySet | None
    """Those of a file, to verify tokens with; None where there is none."""
    warnings: tuple[Problem, ...]
    files: Files
    """What they were read from."""
    candidate: CandidatePart = CandidatePart()


@dataclass(frozen=True, slots=True)
class Reread:
    """What came of reading the parts again."""

    parts: Parts
    """Those in force from now on."""
    changed: tuple[str, ...]
    """The parts that were exchanged: policy, candidate, accounts, geo, keys."""
    failures: Mapping[str, CannotStartError]
    """Why a part that has changed stays as it was."""
    stamps: Mapping[Path, Stamp]
    """Of all files that were looked at: when one of them changes, it is time to read again."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What came of a reload, in values that other processes can be handed."""

    changed: tuple[str, ...]
    """The parts that were exchanged: policy, candidate, accounts, geo, keys, tls."""
    failures: Mapping[str, str]
    """Why a part that has changed stays as it was: problems with their excerpts, or a sentence."""
    warnings: tuple[str, ...]
    """Problems of what was exchanged that stop nothing, with their excerpts."""
    files: Files
    """What is in force from now on."""
    stamps: Mapping[Path, Stamp]
    """Of all files that were looked at: when one of them changes, it is time to reload."""


def said(error: CannotStartError) -> str:
    """Return all that an error says."""
    return "\n".join((*(problem.render() for problem in error.problems), str(error)))


def read_parts(settings: Settings, files: Files | None = None) -> Parts:
    """Read policy, accounts and databases, as the files hold them or else as they are now. Raises CannotStartError."""
    files = files or Files.on_disk()
    path = settings.policy or shipped_policy()
    policy, policy_problems = compiled_policy(path, files.policy)
    accounts, problems = _accounts(settings.accounts, files.accounts)
    _check_fit(policy, accounts, settings)
    geo = read_geo(settings.geo, files.geo)
    candidate = _candidate(settings, files.candidate, policy, accounts)
    warnings = (*policy_problems, *candidate.warnings, *problems, *_never_known(policy, path, geo))
    keys = read_token_keys(settings.jwt, files.keys)
    return Parts(policy, path, accounts, geo, keys, warnings, files, candidate)


def with_policy(settings: Settings, parts: Parts, read: PolicyRead, path: Path) -> Parts:
    """Return the parts with another policy, read from `path`, in place of theirs. Raises CannotStartError."""
    policy, problems = read
    _check_fit(policy, parts.accounts, settings)
    return replace(parts, policy=policy, policy_path=path, warnings=(*problems, *_never_known(policy, path, parts.geo)))


def reread_parts(settings: Settings, before: Parts, files: Files | None = None) -> Reread:
    """Read again what has changed, as the files hold it or else on the disk, and keep whatever can't be used."""
    asked = files or before.files.again()
    attempts = _Attempts()
    policy = attempts.read(
        "policy", asked.policy, before.files.policy, lambda: compiled_policy(before.policy_path, asked.policy)
    )
    accounts = attempts.read(
        "accounts", asked.accounts, before.files.accounts, lambda: _accounts(settings.accounts, asked.accounts)
    )
    geo = attempts.read("geo", asked.geo, before.files.geo, lambda: read_geo(settings.geo, asked.geo))
    keys = attempts.read("keys", asked.keys, before.files.keys, lambda: read_token_keys(settings.jwt, asked.keys))
    policy, accounts = attempts.fitting(policy, accounts, before=before, settings=settings)
    read = {"policy": policy, "accounts": accounts, "geo": geo, "keys": keys}
    new = {name: getattr(asked, name) for name, part in read.items() if part is not None}
    after = replace(
        before,
        policy=policy[0] if policy else before.policy,
        accounts=accounts[0] if accounts else before.accounts,
        geo=geo or before.geo,
        keys=keys or before.keys,
    )
    after = replace(after, candidate=_candidate_again(settings, before, after, asked.candidate))
    if after.candidate.failure is not None:
        attempts.failures["candidate"] = after.candidate.failure
    elif not asked.candidate.hold_what(before.files.candidate) or before.candidate.failure is not None:
        new["candidate"] = asked.candidate
    warnings = (
        *(policy[1] if policy else ()),
        *(after.candidate.warnings if "candidate" in new else ()),
        *(accounts[1] if accounts else ()),
        *_never_known(after.policy, after.policy_path, after.geo),
    )
    after = replace(after, warnings=warnings, files=replace(before.files, **new))
    return Reread(after, tuple(new), attempts.failures, asked.stamps)


@dataclass(frozen=True, slots=True)
class _Attempts:
    """What could not be used, by part."""

    failures: dict[str, CannotStartError] = field(default_factory=dict)

    def read[T](self, part: str, asked: SourceFiles, before: SourceFiles, read: Callable[[], T]) -> T | None:
        """Return what the files hold; None when it can't be used, or is in force."""
        if asked.hold_what(before):
            return None
        try:
            return read()
        except CannotStartError as error:
            self.failures[part] = error
            return None

    def fitting(
        self, policy: PolicyRead | None, accounts: AccountsRead | None, *, before: Parts, settings: Settings
    ) -> tuple[PolicyRead | None, AccountsRead | None]:
        """Return both when they fit together, else the one that fits what is in force."""
        misfit: CannotStartError | None = None
        for one, other in ((policy, accounts), (policy, None), (None, accounts)):
            if one is None and other is None:
                continue
            try:
                _check_fit(one[0] if one else before.policy, other[0] if other else before.accounts, settings)
            except CannotStartError as error:
                misfit = misfit or error
                continue
            break
        else:
            one = other = None
        if misfit is not None:
            left = {"policy": policy if one is None else None, "accounts": accounts if other is None else None}
            self.failures.update((part, misfit) for part, read in left.items() if read is not None)
        return one, other


def compiled_policy(path: Path, files: SourceFiles) -> PolicyRead:
    """Return a policy with what it warns of. Raises CannotStartError."""
    try:
        compiled = compile_policy(path, files)
    except OSError as error:
        raise CannotStartError(f"the policy {path} can't be read: {error.strerror}") from None
    if compiled.policy is None:
        raise CannotStartError(f"the policy {path} has problems", compiled.problems)
    return compiled.policy, compiled.problems


def _accounts(path: Path | str | None, files: SourceFiles) -> AccountsRead:
    if isinstance(path, str):
        return None, ()
    accounts, problems = (AccountsFile(()), ()) if path is None else read_accounts(path, files)
    if accounts is None:
        raise CannotStartError(f"the accounts file {path} has problems", problems)
    return accounts, problems


def _check_fit(policy: Policy, accounts: AccountsFile | None, settings: Settings) -> None:
    """Raise CannotStartError when the policy does not know the accounts' tiers, or nobody could ever be let in."""
    path = settings.accounts
    if policy.mode is Mode.ENFORCE and all(access.rule.shadow for access in policy.allows):
        raise CannotStartError("nobody could ever be let in: the policy has no `allow` that is enforced")
    if accounts is None:
        return
    if problems := accounts.check_tiers(policy.tiers):
        raise CannotStartError(f"the accounts file {path} has tiers that the policy lacks", problems)
    if not len(accounts) and nobody_unknown_is_let_in(policy):
        where = f"{path} holds none" if path else "give --accounts accounts.yaml, or `accounts` in the settings"
        raise CannotStartError(
            f"nobody could ever be let in: the policy asks for accounts and there are none ({where})"
        )


def _candidate(settings: Settings, files: SourceFiles, live: Policy, accounts: AccountsFile | None) -> CandidatePart:
    """Return the policy to try beside the live one, or why it can't be."""
    path = settings.candidate
    if path is None:
        return CandidatePart()
    try:
        policy, problems = compiled_policy(path, files)
        _check_fit(policy, accounts, settings)
        _check_acts(policy, live)
    except CannotStartError as error:
        return CandidatePart(failure=CannotStartError(f"the candidate {path} can't be used: {error}", error.problems))
    if policy.exempt != live.exempt:
        problems = (*problems, Problem(str(path), 1, 1, "other-exemptions", _EXEMPTIONS, severity=Severity.WARNING))
    return CandidatePart(policy, Canary(settings.canary, path.name), problems)


def _check_acts(candidate: Policy, live: Policy) -> None:
    """Raise CannotStartError when a candidate would act on nobody for whom the live policy does."""
    if candidate.mode is Mode.SHADOW and live.mode is Mode.ENFORCE:
        raise CannotStartError(_IN_SHADOW)


def _candidate_again(settings: Settings, before: Parts, after: Parts, asked: SourceFiles) -> CandidatePart:
    """Return what the files hold; else the last good one, as long as that fits what else is in force."""
    had = before.candidate
    unchanged = after.policy is before.policy and after.accounts is before.accounts
    if unchanged and had.failure is None and asked.hold_what(before.files.candidate):
        return had
    new = _candidate(settings, asked, after.policy, after.accounts)
    if new.failure is None or had.policy is None:
        return new
    return replace(_candidate(settings, before.files.candidate, after.policy, after.accounts), failure=new.failure)


def _never_known(policy: Policy, path: Path, geo: GeoDatabases) -> tuple[Problem, ...]:
    """Warn of facts that the policy reads and no database can tell: they count against every caller."""
    return tuple(
        Problem(
            str(path),
            1,
            1,
            "never-known",
            f"the policy reads `{name}`, and no database under `geo` says it, so it is unknown for every caller",
            hint="the page on geography says which databases do" if name != _REGION else _REGION_HINT,
            severity=Severity.WARNING,
        )
        for name in sorted(policy.names & geo.never_says)
    )


def read_geo(geo: Geo, files: SourceFiles | None = None) -> GeoDatabases:
    """Open the databases, as the files have them or else as they are now. Raises CannotStartError."""
    try:
        return GeoDatabases(country=geo.country, asn=geo.asn, anonymous=geo.anonymous, private=geo.private, files=files)
    except GeoDatabaseError as error:
        raise CannotStartError(str(error)) from None


def read_token_keys(jwt: Jwt, files: SourceFiles) -> KeySet | None:
    """Read the keys of tokens, where they are in a file. Raises CannotStartError."""
    if not isinstance(jwt.keys, Path):
        return None
    try:
        return read_keys(files.text(jwt.keys))
    except (OSError, ValueError, KeySetError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CannotStartError(f"the keys of tokens in {jwt.keys} can't be used: {reason}") from None
