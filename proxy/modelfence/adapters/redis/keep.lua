-- What every script goes on with. All amounts are whole microseconds; Lua's doubles count them exactly up to 2^53.

-- Lets a list of leases live for that long at least. It asks first and then gives twice as much, so that most calls
-- need not write: what was given once covers many takings.
local function keep(list, life)
  local least_ms = life_ms(life)
  local left_ms = redis.call('PTTL', list)
  if left_ms ~= -2 and left_ms < least_ms then
    redis.call('PEXPIRE', list, 2 * least_ms)
  end
end
