-- Takes charges, after the adjustments of what was held before; a settlement is adjustments alone.
-- KEYS: for each adjustment, then for each charge: its bucket, and after it the bucket's list of leases if it has one.
-- ARGV: the latest time, the deepest debt, the most lapsed holds to give back from one bucket, the number of
-- adjustments, of charges, of enforced charges (they come first, the shadow ones after them), how long leases last.
-- Then for each adjustment: what it owes, what if its hold is there no more, the hold's entry; for each charge: its
-- cost, its burst, the entry of its hold. An entry is '' where nothing is held, and '-' where there is no list either.
-- The answer adds 1 for each adjustment whose hold is there, else 0; then for each charge the state of its bucket and
-- the time to wait.
local most, most_lapsed, lasts = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[7])
local adjustments, enforced = tonumber(ARGV[4]), tonumber(ARGV[6])
local entries = adjustments + tonumber(ARGV[5])
enforced = adjustments + enforced

-- core.bucket.take and settle, line by line.
local function take(full_at, cost, burst)
  local would_be_full_at = math.max(full_at, now) + cost
  local wait = would_be_full_at - now - burst
  if wait > 0 then
    return full_at, wait
  end
  return would_be_full_at, 0
end

local function settle(full_at, owed)
  return math.min(math.max(full_at, now) + owed, now + most)
end

-- Everything is read before anything is written: a key of another kind then stops the script while nothing is changed.
local stored, before, buckets, lists, lapsed = {}, {}, {}, {}, {}
local k = 0
for i = 1, entries do
  k = k + 1
  local key = KEYS[k]
  buckets[i] = key
  if not stored[key] then
    stored[key] = tonumber(redis.call('GET', key) or 0) or error('a bucket holds no number')
    before[key] = stored[key]
  end
  if ARGV[7 + 3 * i] ~= '-' then
    k = k + 1
    if not lists[key] then
      local list = KEYS[k]
      lists[key] = list
      local over = redis.call('ZRANGEBYSCORE', list, 0, now, 'LIMIT', 0, most_lapsed)
      if over[1] then
        lapsed[list] = over
        for _, entry in ipairs(over) do
          before[key] = settle(before[key], -string.match(entry, '%d+$'))
        end
      end
    end
  end
end

-- What lapsed is given back even when the call is then refused: a long list of dead leases would never shrink.
for list, over in pairs(lapsed) do
  redis.call('ZREM', list, unpack(over))
end

local answer, after, refused = {now, 1}, {}, false
for i = 1, adjustments do
  local key, at = buckets[i], 7 + 3 * i
  local list = lists[key]
  local held = ARGV[at] ~= '-' and redis.call('ZSCORE', list, ARGV[at])
  answer[2 + i] = held and 1 or 0
  after[key] = settle(after[key] or before[key], tonumber(ARGV[held and at - 2 or at - 1]))
end
local waits = {}
for i = adjustments + 1, entries do
  local key, at = buckets[i], 7 + 3 * i
  after[key], waits[i] = take(after[key] or before[key], tonumber(ARGV[at - 2]), tonumber(ARGV[at - 1]))
  refused = refused or (i <= enforced and waits[i] > 0)
end
if refused then
  after = before
end

-- State and lifetime in one command. A full bucket needs no state.
for key, was in pairs(stored) do
  local full_at = after[key] or before[key]
  if full_at ~= was then
    if full_at > now then
      redis.call('SET', key, full_at, 'PX', life_ms(full_at - now))
    elseif was > now then
      redis.call('DEL', key)
    end
  end
  after[key] = full_at
end

-- A list of leases lives until the last of them ends, and as long as its bucket isn't full: until then it matters
-- what is given back. Entries are added before others are removed, since a list that is empty loses its lifetime.
if not refused then
  local longer = {}
  for i = adjustments + 1, entries do
    local key, entry = buckets[i], ARGV[7 + 3 * i]
    if entry ~= '' and entry ~= '-' and waits[i] == 0 then
      redis.call('ZADD', lists[key], now + lasts, entry)
      longer[key] = lasts
    end
  end
  for i = 1, adjustments do
    if answer[2 + i] == 1 then
      redis.call('ZREM', lists[buckets[i]], ARGV[7 + 3 * i])
    end
  end
  for key, list in pairs(lists) do
    if longer[key] or after[key] > math.max(stored[key], now) then
      keep(list, math.max(after[key] - now, longer[key] or 0))
    end
  end
end

for i = adjustments + 1, entries do
  local at = #answer
  answer[at + 1], answer[at + 2] = after[buckets[i]], waits[i]
end
return answer
