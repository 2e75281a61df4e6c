-- Counts what a call was answered with, in the account and in the cohort it drew on.
-- KEYS: the account's record. ARGV[2]: what the names of all other keys begin with. Then the cohort's name, which may be
-- empty, and the tokens of the answer. The counts stand at fixed places: see evidence_records.py.
local function count(key, at, format, size)
  local stored = redis.call('GETRANGE', key, at, at + size - 1)
  if #stored == size then
    local answers, tokens = struct.unpack(format, stored)
    redis.call('SETRANGE', key, at, struct.pack(format, answers + 1, tokens + tonumber(ARGV[4])))
  end
end

local cohort = ARGV[2] .. 'cohort:' .. ARGV[3]
local record = redis.call('GETRANGE', cohort, 0, 6)
while #record == 6 do
  cohort = ARGV[2] .. 'cohort:' .. record
  record = redis.call('GETRANGE', cohort, 0, 6)
end
count(KEYS[1], 40, '>I4I8', 12)
count(cohort, 88, '>I8I8', 16)
return {now, 1}
