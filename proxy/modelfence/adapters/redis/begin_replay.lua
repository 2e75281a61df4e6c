-- What every script of a replay begins with, in place of begin.lua. Time is the recording's.
-- ARGV[1]: what time it is.
local now = tonumber(ARGV[1])

-- The server's time, by which lifetimes run out, has nothing to do with it: everything is kept for a day, which a replay
-- does not take. A bucket that is full again by then counts as full all the same.
local function life_ms()
  return 86400000
end
