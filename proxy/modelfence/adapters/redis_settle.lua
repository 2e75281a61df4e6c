-- ARGV[2]: the deepest debt there is. Then for each entry: what it owes, negative to give back.
local most = tonumber(ARGV[2])

-- core.bucket.settle, line by line.
local function settle(full_at, owed)
  return math.min(math.max(full_at, now) + owed, now + most)
end

local after = {}
for i, key in ipairs(KEYS) do
  after[key] = settle(after[key] or before[key], tonumber(ARGV[i + 2]))
end
write(after)
return {now, 1}
