-- What take and settle begin with. All amounts are whole microseconds; Lua's doubles count them exactly up to 2^53.
-- KEYS: the bucket of each entry; several entries may name the same one.
-- ARGV[1]: the latest time of this server at which the caller still waits for the answer.
-- The answer is {now, 0} when it came too late and changed nothing, else {now, 1, ...}.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
if now > tonumber(ARGV[1]) then
  return {now, 0}
end

local before = {}
for _, key in ipairs(KEYS) do
  before[key] = tonumber(redis.call('GET', key) or 0)
end

-- State and lifetime in one command, both rounded up: %.0f because tostring() would lose digits, one millisecond
-- more because some servers count the lifetime from when the script began. A full bucket needs no state.
local function write(after)
  for key, full_at in pairs(after) do
    if full_at > now then
      local lifetime_ms = math.ceil((full_at - now) / 1000) + 1
      redis.call('SET', key, string.format('%.0f', full_at), 'PX', string.format('%.0f', lifetime_ms))
    elseif before[key] > 0 then
      redis.call('DEL', key)
    end
  end
end
