"""What a bucket store should answer: the pure functions of the core, and two dicts. And time travel for a real Redis."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from modelfence.core import bucket
from modelfence.core.charge import Adjustment, Balance, Charge, Hold, Lease, Refused, Taken


@dataclass
class Model:
    """Buckets, and what is held of them until when."""

    full_at_us: dict[str, int] = field(default_factory=dict)
    held: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)

    def take(
        self, charges: Sequence[Charge], now_us: int, *, lease: Lease | None = None, after: Sequence[Adjustment] = ()
    ) -> Taken:
        self.lapse([*charges, *(one.hold.charge for one in after)], now_us)
        states = dict(self.full_at_us)
        self.adjust(states, after, now_us)
        refused: dict[bool, list[Refused]] = {False: [], True: []}
        taken = []
        for charge in sorted(charges, key=lambda charge: charge.shadow):
            if charge.shadow and refused[False]:
                continue
            states[charge.bucket], wait_us = bucket.take(
                states.get(charge.bucket, 0), now_us=now_us, cost_us=charge.cost_us, burst_us=charge.rate.burst_us
            )
            if wait_us:
                refused[charge.shadow].append(Refused(charge, wait_us))
            else:
                taken.append(charge)
        if not refused[False]:
            self.full_at_us = states
            self.end(after)
            for charge in taken:
                if lease and charge.is_reserved:
                    hold = Hold(charge, lease.id, charge.cost_us)
                    self.held.setdefault(charge.bucket, {})[hold.entry] = (hold.held_us, now_us + lease.lasts_us)
        return Taken(
            tuple(refused[False]), tuple(refused[True]), tuple(self.balance(charge, now_us) for charge in charges)
        )

    def settle(self, adjustments: Sequence[Adjustment], now_us: int) -> None:
        self.lapse([one.hold.charge for one in adjustments], now_us)
        self.adjust(self.full_at_us, adjustments, now_us)
        self.end(adjustments)

    def renew(self, holds: Sequence[Hold], lasts_us: int, now_us: int) -> None:
        for hold in holds:
            held = self.held.get(hold.charge.bucket, {})
            if held.get(hold.entry, (0, 0))[1] > now_us:
                held[hold.entry] = (hold.held_us, now_us + lasts_us)

    def balance(self, charge: Charge, now_us: int) -> Balance:
        full_at_us = self.full_at_us.get(charge.bucket, 0)
        return Balance(charge, bucket.left_us(full_at_us, now_us=now_us, burst_us=charge.rate.burst_us))

    def lapse(self, charges: Sequence[Charge], now_us: int) -> None:
        for name in {charge.bucket for charge in charges if charge.is_reserved}:
            for entry, (held_us, ends_us) in list(self.held.get(name, {}).items()):
                if ends_us <= now_us:
                    del self.held[name][entry]
                    self.full_at_us[name] = bucket.settle(self.full_at_us[name], now_us=now_us, owed_us=-held_us)

    def adjust(self, states: dict[str, int], adjustments: Sequence[Adjustment], now_us: int) -> None:
        for one in adjustments:
            name = one.hold.charge.bucket
            owed_us = one.owed_us if one.hold.entry in self.held.get(name, {}) else one.lapsed_owed_us
            states[name] = bucket.settle(states.get(name, 0), now_us=now_us, owed_us=owed_us)

    def end(self, adjustments: Sequence[Adjustment]) -> None:
        for one in adjustments:
            self.held.get(one.hold.charge.bucket, {}).pop(one.hold.entry, None)


_STEP = """
for _, key in ipairs(KEYS) do
  local left_ms = redis.call('PTTL', key) - ARGV[2]
  if left_ms <= 0 then
    redis.call('DEL', key)
  elseif redis.call('TYPE', key).ok == 'string' then
    redis.call('SET', key, redis.call('GET', key) - ARGV[1], 'PX', left_ms)
  else
    for _, entry in ipairs(redis.call('ZRANGE', key, 0, -1)) do
      redis.call('ZINCRBY', key, -ARGV[1], entry)
    end
    redis.call('PEXPIRE', key, left_ms)
  end
end
"""


def step(server, prefix: str, by_ms: int) -> None:
    """Let that much time pass for a server's keys of a prefix: every moment and every lifetime is nearer by it.

    It takes microseconds, so a lifetime that is too short by hours shows at once. Keys without a lifetime vanish.
    """
    with server.client() as client:
        for key in client.keys(f"{prefix}:*"):
            client.eval(_STEP, 1, key, by_ms * 1_000, by_ms)


def assert_holds(client, prefix: str, model: Model, names: Iterable[str], *, stepped_us: int) -> None:
    """Every state and hold of these buckets is there to the digit; it stays as long as it matters, and not for ever."""
    for name in names:
        state_key, list_key = f"{prefix}:bucket:{name}", f"{prefix}:lease:{name}"
        look = client.pipeline(transaction=False).time().get(state_key).pttl(state_key)
        look.zrange(list_key, 0, -1, withscores=True).pttl(list_key).time()
        asked, state, life_ms, entries, list_life_ms, answered = look.execute()
        asked_us, answered_us = (second * 1_000_000 + microsecond for second, microsecond in (asked, answered))
        full_at_us = model.full_at_us.get(name, 0) - stepped_us
        assert state == str(full_at_us) or max(int(state or 0), full_at_us) <= answered_us
        if state is not None and life_ms >= 0:
            assert life_ms >= math.floor((full_at_us - answered_us) / 1000)
            # A busy machine may hold the server back between its two looks at the clock.
            assert life_ms <= math.ceil((full_at_us - asked_us) / 1000) + 5_000
        held = {entry: ends_us - stepped_us for entry, (_, ends_us) in model.held.get(name, {}).items()}
        if any(ends_us > answered_us for ends_us in held.values()) or (held and full_at_us > answered_us):
            assert {entry: int(score) for entry, score in entries} == held
        if held and list_life_ms != -2:
            last_us = max(full_at_us, *held.values())
            assert list_life_ms >= math.floor((last_us - answered_us) / 1000)
