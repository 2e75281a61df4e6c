"""A policy as if nothing in it were in shadow: what it would do once it is trusted."""

from dataclasses import replace

from modelfence.core.policy import AccessRule, DenyGroup, Mode, Policy, ReshapeRule, ThrottleRule


def enforced(policy: Policy) -> Policy:
    """Return the policy with every rule enforced. Its hash stays: what is written is the same."""
    return replace(
        policy,
        mode=Mode.ENFORCE,
        denies=[DenyGroup(group.any, [_enforced(deny) for deny in group.rules]) for group in policy.denies],
        allows=[_enforced(allow) for allow in policy.allows],
        reshapes=[_enforced(reshape) for reshape in policy.reshapes],
        throttles=[_enforced(throttle) for throttle in policy.throttles],
    )


def _enforced[R: (AccessRule, ReshapeRule, ThrottleRule)](entry: R) -> R:
    return replace(entry, rule=replace(entry.rule, shadow=False))
