-- ARGV[2]: how many of the entries are enforced; they come first, the shadow ones after them.
-- Then for each entry: its cost, its burst. The answer adds for each: the state of its bucket, the time to wait.
local enforced = tonumber(ARGV[2])

-- core.bucket.take, line by line.
local function take(full_at, cost, burst)
  local would_be_full_at = math.max(full_at, now) + cost
  local wait = would_be_full_at - now - burst
  if wait > 0 then
    return full_at, wait
  end
  return would_be_full_at, 0
end

local after, waits, refused = {}, {}, false
for i, key in ipairs(KEYS) do
  waits[i] = 0
  if i <= enforced or not refused then
    after[key], waits[i] = take(after[key] or before[key], tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2]))
    refused = refused or (i <= enforced and waits[i] > 0)
  end
end
if refused then
  after = before
else
  write(after)
end

local answer = {now, 1}
for i, key in ipairs(KEYS) do
  answer[2 * i + 1], answer[2 * i + 2] = after[key], waits[i]
end
return answer
