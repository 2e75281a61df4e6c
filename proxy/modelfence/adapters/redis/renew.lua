-- Lets the leases of those holds that are still there run from now on.
-- KEYS: the list of leases of each hold. ARGV[2]: how long they last. Then for each hold its entry.
local lasts = tonumber(ARGV[2])
for i, list in ipairs(KEYS) do
  local entry = ARGV[i + 2]
  local ends = redis.call('ZSCORE', list, entry)
  if ends and tonumber(ends) > now then
    redis.call('ZADD', list, now + lasts, entry)
    keep(list, lasts)
  end
end
return {now, 1}
