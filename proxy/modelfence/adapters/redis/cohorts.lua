-- Returns all cohorts that are kept.
-- KEYS: the cohorts by their last call. ARGV[2]: what the names of all other keys begin with.
-- The answer adds the name and the record of each.
local answer = {now, 1}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local record = redis.call('GET', ARGV[2] .. 'cohort:' .. id)
  if record then
    table.insert(answer, id)
    table.insert(answer, record)
  end
end
return answer
