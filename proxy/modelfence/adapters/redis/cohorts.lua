-- Returns some of the cohorts that are kept: all at once would hold up the calls.
-- KEYS: the cohorts by their last call. ARGV[2]: what the names of all other keys begin with. Then the place of the first
-- to return, and of the last.
-- The answer adds how many there were, and the name and the record of each that is still there.
local ids = redis.call('ZRANGE', KEYS[1], ARGV[3], ARGV[4])
local answer = {now, 1, #ids}
for _, id in ipairs(ids) do
  local record = redis.call('GET', ARGV[2] .. 'cohort:2:' .. id)
  if record then
    table.insert(answer, id)
    table.insert(answer, record)
  end
end
return answer
