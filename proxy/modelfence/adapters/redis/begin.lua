-- What every script begins with. All amounts are whole microseconds; Lua's doubles count them exactly up to 2^53, and
-- Redis writes a number that is handed to a command with all its digits (tostring() would lose some).
-- ARGV[1]: the latest time of this server at which the caller still waits for the answer.
-- The answer is {now, 0} when it came too late and changed nothing, else {now, 1, ...}.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
if now > tonumber(ARGV[1]) then
  return {now, 0}
end

-- Lets a list of leases live for that long at least. It asks first and then gives twice as much, so that most calls
-- need not write: what was given once covers many takings.
local function keep(list, life)
  local life_ms = math.ceil(life / 1000) + 1
  local left_ms = redis.call('PTTL', list)
  if left_ms ~= -2 and left_ms < life_ms then
    redis.call('PEXPIRE', list, 2 * life_ms)
  end
end
