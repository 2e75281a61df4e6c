-- What every script of a fence begins with. Redis writes a number that is handed to a command with all its digits
-- (tostring() would lose some). Time is the server's.
-- ARGV[1]: the latest time of this server at which the caller still waits for the answer.
-- The answer is {now, 0} when it came too late and changed nothing, else {now, 1, ...}.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
if now > tonumber(ARGV[1]) then
  return {now, 0}
end

-- For how long what matters for that long is kept. One millisecond more because some servers count the lifetime from
-- when the script began.
local function life_ms(life)
  return math.ceil(life / 1000) + 1
end
