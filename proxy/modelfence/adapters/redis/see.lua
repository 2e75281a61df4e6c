-- Takes a call into account as evidence. MemoryEvidence, line by line; the numbers in comments are those of the steps in
-- modelfence.extraction.evidence. How records are packed stands in evidence_records.py.
-- KEYS: the account's record, the accounts by when they go, the cohorts by their last call, those taken in by when they
-- go. ARGV[2]: what the names of all other keys begin with. Then the constants, the time, the account's tag, its tier,
-- its country, three characters for what is true (1) of the call or not (0), its item, its history, its shingles in
-- order, each after the three bytes of its shard, and for each of these a digit: 1 when it is in the last message, and 2
-- more when it is looked for among the account's own. Hashes have six bytes, and so have the names of cohorts.
-- The answer adds the account's tally, the cohorts that are matched, and for each cohort of the account its name, the
-- account's calls in it, and its record.
local call, sub, unpacked = redis.call, string.sub, struct.unpack
local ACCOUNTS, SHARED, MATCHES, LEARNS, RECENT_ITEMS, RECENT_SHINGLES, RECURRING_SHINGLES, RECURS, TEMPLATED,
  COHORTS_OF_AN_ACCOUNT, OVERLAPS, COUNTRIES, TEMPLATE, ITEM_BITS, ITEMS_CHECKED, DAY_S, HOUR_S, SEEDS,
  MOST_ACCOUNTS, MOST_COHORTS, EXPIRES_S, MOST_OF_A_SHARD, STAY =
  unpacked('>' .. string.rep('I4', 23), ARGV[3])
local at_s, tag, tier, country = tonumber(ARGV[4]), ARGV[5], ARGV[6], ARGV[7]
local is_verified, is_probe, has_phrases =
  sub(ARGV[8], 1, 1) == '1', sub(ARGV[8], 2, 2) == '1', sub(ARGV[8], 3, 3) == '1'
local item, history, shingles, marks = ARGV[9], ARGV[10], ARGV[11], ARGV[12]
local cohort_key, items_key, shard_key = ARGV[2] .. 'cohort:', ARGV[2] .. 'items:', ARGV[2] .. 'shingles:'
local NONE = string.rep('\0', 6)
local ACCOUNT, TALLY_AT, TALLY_SIZE = '>i4i8I4I4I4I4I4I4I4I4I8I4I4I2c0I2c0I2c0I2c0', 13, 48
local COHORT = '>i8i8I8I8I8I8I8I8I8I8I8I8I8I4c0I4c0I4c0I4c0I4c0'
-- An hour more than the sightings' time gives: what expires does so by that.
local life = (EXPIRES_S + HOUR_S) * 1000
local day = math.floor(at_s / DAY_S)

-- Returns where one stands in a list of records of that size, which begin with it.
local function find(list, one, size)
  local found = string.find(list, one, 1, true)
  while found and (found - 1) % size ~= 0 do
    found = string.find(list, one, found + 1, true)
  end
  return found
end

-- Returns the number that begins a string.
local function number(format, packed)
  return (unpacked(format, packed))
end

local function plus(condition, count)
  return condition and count or 0
end

-- The account's record, halved for each day that began since (1).
local account = {day = day, last = at_s, calls = 0, deep = 0, repeated = 0, templated = 0, phrased = 0, probes = 0,
  repeated_probes = 0, answers = 0, output_tokens = 0, hours = 0, hours_before = 0, items = '', once = '',
  recurring = {}, cohorts = {}}
local stored = call('GET', KEYS[1])
local is_first_of_day = true
if stored then
  local known, recurring, cohorts = {}
  known.day, known.last, known.calls, known.deep, known.repeated, known.templated, known.phrased, known.probes,
    known.repeated_probes, known.answers, known.output_tokens, known.hours, known.hours_before, known.items, known.once,
    recurring, cohorts = unpacked(ACCOUNT, stored)
  if at_s - known.last <= EXPIRES_S then
    known.recurring, known.cohorts = {}, {}
    for at = 1, #recurring, 8 do
      local shingle, met = unpacked('>c4I4', recurring, at)
      known.recurring[shingle] = met
    end
    local days = day - known.day
    is_first_of_day = days > 0
    for at = 1, #cohorts, 10 do
      local id, calls = unpacked('>c6I4', cohorts, at)
      if is_first_of_day then
        calls = math.floor(calls / 2 ^ days)
      end
      table.insert(known.cohorts, {id = id, calls = calls})
    end
    if is_first_of_day then
      for _, name in ipairs({'calls', 'deep', 'repeated', 'templated', 'phrased', 'probes', 'repeated_probes',
                             'answers', 'output_tokens'}) do
        known[name] = math.floor(known[name] / 2 ^ days)
      end
      known.hours, known.hours_before, known.day = 0, days == 1 and known.hours or 0, day
    end
    account = known
    account.last = math.max(account.last, at_s)
  end
end

-- Says whether the shingle that was met least could go. One that is the template's is worn down instead.
local function makes_room(recurring)
  local least
  for shingle, met in pairs(recurring) do
    if not least or met < recurring[least] or
       (met == recurring[least] and number('>I4', shingle) < number('>I4', least)) then
      least = shingle
    end
  end
  if recurring[least] >= RECURS then
    recurring[least] = recurring[least] - 1
    return false
  end
  recurring[least] = nil
  return true
end

-- The call is counted (1).
do
  local short = sub(item, 3)
  local again = find(account.items, short, 4)
  account.calls = account.calls + 1
  account.deep = account.deep + plus(history ~= NONE, 1)
  account.repeated = account.repeated + plus(again, 1)
  account.phrased = account.phrased + plus(has_phrases, 1)
  account.probes = account.probes + plus(is_probe, 1)
  account.repeated_probes = account.repeated_probes + plus(is_probe and again, 1)
  account.hours = bit.bor(account.hours, bit.lshift(1, math.floor(at_s % DAY_S / HOUR_S)))
  account.items = sub(account.items .. short, -4 * RECENT_ITEMS)
  local recurring, known, own, count = account.recurring, 0, {}, 0
  for at = 1, #marks do
    local mark = string.byte(marks, at) - 48
    if mark >= 2 then
      local shingle = sub(shingles, 9 * at - 3, 9 * at)
      table.insert(own, shingle)
      known = known + plus(mark == 3 and (recurring[shingle] or 0) >= RECURS, 1)
    end
  end
  account.templated = account.templated + plus(known >= TEMPLATED, 1)
  for _ in pairs(recurring) do
    count = count + 1
  end
  local once = account.once
  for _, shingle in ipairs(own) do
    if recurring[shingle] then
      recurring[shingle] = recurring[shingle] + 1
    else
      local at = find(once, shingle, 4)
      if not at then
        once = once .. shingle
      elseif count < RECURRING_SHINGLES or makes_room(recurring) then
        count = math.min(count + 1, RECURRING_SHINGLES)
        once = sub(once, 1, at - 1) .. sub(once, at + 4)
        recurring[shingle] = 2
      end
    end
  end
  account.once = sub(once, -4 * RECENT_SHINGLES)
end

-- Cohorts by their names, as they were read or have become; false for one that is not kept. One that was taken in by
-- another names that one, in the store by a record that is its name, and here by `into`.
local cohorts, dropped = {}, {}
for _, id in ipairs(call('ZRANGEBYSCORE', KEYS[3], '-inf', string.format('(%.0f', at_s - EXPIRES_S))) do
  dropped[id] = true
end
local expired = 0
for _ in pairs(dropped) do
  expired = expired + 1
end

local function root(id)
  local found = cohorts[id]
  if found == nil then
    local record = not dropped[id] and call('GET', cohort_key .. id)
    if not record then
      found = false
    elseif #record == 6 then
      found = root(record)
    else
      found = {id = id, record = record, bitmaps = {items_key .. id}, bits = {}}
      found.first, found.last, found.accounts, found.verified, found.calls, found.in_message, found.deep,
        found.phrased, found.checked, found.repeated, found.pairs, found.answers, found.output_tokens,
        found.tiers, found.countries, found.template, found.seeds, found.overlaps = unpacked(COHORT, record)
      found.was = found.last
    end
    cohorts[id] = found
  end
  while found and found.into do
    found = found.into
  end
  return found and not found.is_dropped and found
end

-- Each shingle is looked up, and the account's tag added (2).
local entries, shared = {}, {}
local today = struct.pack('>i3', day)
for at = 1, #marks do
  local shingle, shard = sub(shingles, 9 * at - 5, 9 * at), shard_key .. sub(shingles, 9 * at - 8, 9 * at - 6)
  local was = call('HGET', shard, shingle)
  local met_on, value, is_moved = today, '', false
  if was then
    met_on, value = sub(was, 1, 3), sub(was, 4)
    if met_on ~= today then
      local ago = day - number('>i3', met_on)
      is_moved = ago > 0
      met_on = is_moved and today or met_on
      value = ago * DAY_S > EXPIRES_S and '' or value
    end
  end
  if #value == 6 then
    local cohort = root(value)
    value = cohort and cohort.id or ''
    if cohort then
      shared[cohort] = (shared[cohort] or 0) + 1
    end
  end
  if value == '' then
    value = tag
  elseif #value ~= 6 and not find(value, tag, 4) then
    value = sub(value, 1, 4 * (ACCOUNTS - 1)) .. tag
  end
  entries[at] = {shingle = shingle, shard = shard, was = was, met_on = met_on, is_moved = is_moved, value = value}
end

-- The call matches cohorts (3).
local matched = {}
for cohort, count in pairs(shared) do
  if count >= SHARED then
    table.insert(matched, cohort)
  end
end
table.sort(matched, function(one, other)
  if shared[one] ~= shared[other] then
    return shared[one] > shared[other]
  end
  return number('>I6', one.id) < number('>I6', other.id)
end)
for at = #matched, MATCHES + 1, -1 do
  matched[at] = nil
end

-- Counts in a list of names with counts.
local function counted(list, name, count)
  local at = 1
  while at <= #list do
    local known, its, next_at = unpacked('>I4I4c0', list, at)
    if its == name then
      return sub(list, 1, at - 1) .. struct.pack('>I4', known + count) .. sub(list, at + 4)
    end
    at = next_at
  end
  return list .. struct.pack('>I4I4', count, #name) .. name
end

local function come_from(cohort, name, count)
  local at, names, is_known = 1, 0, false
  while at <= #cohort.countries do
    local _, its, next_at = unpacked('>I4I4c0', cohort.countries, at)
    names, is_known, at = names + 1, is_known or its == name, next_at
  end
  cohort.countries = counted(cohort.countries, (is_known or names < COUNTRIES) and name or '', count)
end

local function learn(cohort, learned)
  local all, sorted = {}, {}
  for _, list in ipairs({cohort.template, learned}) do
    for at = 1, #list, 6 do
      local shingle = sub(list, at, at + 5)
      if not all[shingle] then
        all[shingle] = number('>I6', shingle)
        table.insert(sorted, shingle)
      end
    end
  end
  table.sort(sorted, function(one, other) return all[one] < all[other] end)  -- strings compare by the server's locale
  cohort.template = table.concat(sorted, '', 1, math.min(#sorted, TEMPLATE))
  cohort.is_changed = true
end

-- A new cohort, or the one whose first shingle had been forgotten. When there are too many, that with the earliest last
-- call goes.
local function begin(id, seeds)
  local found = root(id)
  if found then
    return found
  end
  found = {id = id, is_new = true, bitmaps = {}, bits = {}, first = at_s, last = at_s, accounts = #seeds / 4,
    verified = 0, calls = 0, in_message = 0, deep = 0, phrased = 0, checked = 0, repeated = 0, pairs = 0, answers = 0,
    output_tokens = 0, tiers = '', countries = '', template = '', seeds = seeds, overlaps = ''}
  cohorts[id] = found
  if call('ZCARD', KEYS[3]) - expired + 1 > MOST_COHORTS then
    local oldest, next_oldest = unpack(call('ZRANGE', KEYS[3], expired, expired + 1))
    oldest = oldest == id and next_oldest or oldest
    if oldest then
      local gone = root(oldest)
      dropped[oldest] = true
      cohorts[oldest] = false
      if gone then
        gone.is_dropped = true
      end
    end
  end
  return found
end

-- Ripe shingles become part of one of them, or a new one (4).
do
  local ripe, names, growing = {}, {}, nil
  for _, entry in ipairs(entries) do
    if #entry.value == 4 * ACCOUNTS then
      table.insert(ripe, entry)
      table.insert(names, entry.shingle)
    end
  end
  for _, cohort in ipairs(matched) do
    if not growing and cohort.accounts <= LEARNS then
      growing = cohort
    end
  end
  if not growing and #ripe >= SHARED then
    growing = begin(ripe[1].shingle, ripe[1].value)
    local all = matched
    matched = {}
    for _, cohort in ipairs(all) do
      if not cohort.is_dropped and cohort ~= growing then
        table.insert(matched, cohort)
      end
    end
    table.insert(matched, growing)
  end
  if growing then
    for _, entry in ipairs(ripe) do
      entry.value = growing.id
    end
    learn(growing, table.concat(names))
  end
end

-- Returns the calls of the account by the cohorts that are kept.
local function of_roots(calls)
  local found, at = {}, {}
  for _, one in ipairs(calls) do
    local cohort = root(one.id)
    if cohort and at[cohort] then
      at[cohort].calls = at[cohort].calls + one.calls
    elseif cohort then
      at[cohort] = {id = cohort.id, calls = one.calls}
      table.insert(found, at[cohort])
    end
  end
  return found
end

-- Says whether the bitmap knew a hash; it does from now on.
local function knows(cohort, hash)
  local at = number('>I6', hash) % ITEM_BITS
  local known = cohort.bits[at]
  for _, bitmap in ipairs(cohort.bitmaps) do
    known = known or call('GETBIT', bitmap, at) == 1
  end
  if not known then
    cohort.bits[at] = true
  end
  return known
end

local function count(cohort, before, in_message)
  local times = cohort.calls > 0 and 1 or ACCOUNTS
  cohort.last = math.max(cohort.last, at_s)
  cohort.calls = cohort.calls + times
  cohort.pairs = cohort.pairs + 2 * before
  cohort.in_message = cohort.in_message + plus(in_message, times)
  cohort.phrased = cohort.phrased + plus(has_phrases, times)
  if history ~= NONE and not in_message and not knows(cohort, history) then
    cohort.deep = cohort.deep + times
  end
  if item ~= NONE and cohort.checked < ITEMS_CHECKED then
    cohort.checked = cohort.checked + 1
    cohort.repeated = cohort.repeated + plus(knows(cohort, item), 1)
  end
  cohort.is_changed = true
end

local function welcome(cohort)
  local seed = find(cohort.seeds, tag, 4)
  if seed then
    cohort.seeds = sub(cohort.seeds, 1, seed - 1) .. sub(cohort.seeds, seed + 4)
  else
    cohort.accounts = cohort.accounts + 1
  end
  cohort.verified = cohort.verified + plus(is_verified, 1)
  cohort.tiers = counted(cohort.tiers, tier, 1)
  come_from(cohort, country, 1)
end

-- Counts all that another has counted; so many accounts are in both.
local function take_in(cohort, other, both)
  for _, name in ipairs({'accounts', 'verified', 'calls', 'in_message', 'deep', 'phrased', 'checked', 'repeated',
                         'pairs', 'answers', 'output_tokens'}) do
    cohort[name] = cohort[name] + other[name]
  end
  cohort.accounts = cohort.accounts - both
  cohort.last = math.max(cohort.last, other.last)
  for _, list in ipairs({'tiers', 'countries'}) do
    local at = 1
    while at <= #other[list] do
      local accounts, name, next_at = unpacked('>I4I4c0', other[list], at)
      if list == 'tiers' then
        cohort.tiers = counted(cohort.tiers, name, accounts)
      else
        come_from(cohort, name, accounts)
      end
      at = next_at
    end
  end
  learn(cohort, other.template)
  for at = 1, #other.seeds, 4 do
    local seed = sub(other.seeds, at, at + 3)
    if not find(cohort.seeds, seed, 4) then
      cohort.seeds = cohort.seeds .. seed
    end
  end
  cohort.seeds = sub(cohort.seeds, 1, 4 * SEEDS)
  for _, bitmap in ipairs(other.bitmaps) do
    table.insert(cohort.bitmaps, bitmap)
  end
  for at in pairs(other.bits) do
    cohort.bits[at] = true
  end
end

local function overlapping(cohort, other)
  local at = find(cohort.overlaps, other.id, 10)
  return at and number('>I4', sub(cohort.overlaps, at + 6)) or 0
end

local function overlaps(cohort, other, both)
  local at = find(cohort.overlaps, other.id, 10)
  if at then
    cohort.overlaps = sub(cohort.overlaps, 1, at + 5) .. struct.pack('>I4', both)
      .. sub(cohort.overlaps, at + 10)
  elseif #cohort.overlaps < 10 * OVERLAPS then
    cohort.overlaps = cohort.overlaps .. other.id .. struct.pack('>I4', both)
  end
  cohort.is_changed = true
end

-- Counts that an account of these others is in this one, too, but for those that the call also matches; those that
-- overlap by half become one.
local taken_in = {}
local function overlap(cohort, others, also)
  for _, one in ipairs(others) do
    local other = root(one.id)
    if other ~= cohort and not also[one.id] then
      local both = math.max(overlapping(cohort, other), overlapping(other, cohort)) + 1
      overlaps(cohort, other, both)
      overlaps(other, cohort, both)
      if both >= ACCOUNTS and 2 * both >= cohort.accounts + other.accounts - both then
        local gone = other
        if other.first < cohort.first or (other.first == cohort.first and number('>I6', other.id) < number('>I6', cohort.id)) then
          cohort, gone = other, cohort
        end
        take_in(cohort, gone, both)
        gone.into = cohort
        table.insert(taken_in, gone)
      end
    end
  end
  return cohort
end

-- In each cohort that it matches the call is counted, and the account if it is new to it (5).
local function join(cohort)
  account.cohorts = of_roots(account.cohorts)
  local mine, in_message = nil, 0
  for _, one in ipairs(account.cohorts) do
    mine = one.id == cohort.id and one or mine
  end
  for at, entry in ipairs(entries) do
    if string.byte(marks, at) % 2 == 1 and #entry.value == 6 and root(entry.value) == cohort then
      in_message = in_message + 1
    end
  end
  count(cohort, mine and mine.calls or 0, in_message >= SHARED)
  if mine then
    mine.calls = mine.calls + 1
    return
  end
  table.insert(account.cohorts, {id = cohort.id, calls = 1})
  welcome(cohort)
  local also = {}
  for _, one in ipairs(matched) do
    also[root(one.id).id] = true
  end
  local joined = overlap(cohort, account.cohorts, also)
  account.cohorts = of_roots(account.cohorts)
  if #account.cohorts > COHORTS_OF_AN_ACCOUNT then
    local least
    for at, one in ipairs(account.cohorts) do
      local other = account.cohorts[least]
      if one.id ~= joined.id and (not least or one.calls < other.calls or
         (one.calls == other.calls and number('>I6', one.id) < number('>I6', other.id))) then
        least = at
      end
    end
    table.remove(account.cohorts, least)
  end
end

local counted_in = {}
for _, cohort in ipairs(matched) do
  local is_counted = false
  for _, one in ipairs(counted_in) do
    is_counted = is_counted or root(one.id) == root(cohort.id)
  end
  if not is_counted then
    join(root(cohort.id))
    table.insert(counted_in, cohort)
  end
end
account.cohorts = of_roots(account.cohorts)

-- From here on it is written. The account:
local recurring, its_cohorts = {}, {}
for shingle, met in pairs(account.recurring) do
  table.insert(recurring, shingle .. struct.pack('>I4', met))
end
for _, one in ipairs(account.cohorts) do
  table.insert(its_cohorts, one.id .. struct.pack('>I4', one.calls))
end
recurring, its_cohorts = table.concat(recurring), table.concat(its_cohorts)
local record = struct.pack('>i4i8I4I4I4I4I4I4I4I4I8I4I4', account.day, account.last, account.calls, account.deep,
  account.repeated, account.templated, account.phrased, account.probes, account.repeated_probes, account.answers,
  account.output_tokens, account.hours, account.hours_before)
  .. struct.pack('>I2', #account.items) .. account.items .. struct.pack('>I2', #account.once) .. account.once
  .. struct.pack('>I2', #recurring) .. recurring .. struct.pack('>I2', #its_cohorts) .. its_cohorts
call('SET', KEYS[1], record, 'PX', life)

-- Adds to a list of what goes in order; of what is too much it returns what goes.
local function queue(list, one, most)
  local last = call('ZREVRANGE', list, 0, 0, 'WITHSCORES')[2] or 0
  call('ZADD', list, last + 1, one)
  call('PEXPIRE', list, 2 * life)
  local over = call('ZCARD', list) - most
  return over > 0 and call('ZPOPMIN', list, over) or {}
end

if is_first_of_day then
  local gone = queue(KEYS[2], sub(KEYS[1], -16), MOST_ACCOUNTS)
  for at = 1, #gone, 2 do
    call('UNLINK', sub(KEYS[1], 1, -17) .. gone[at])
  end
end

-- The cohorts, those that are no longer kept first: one of the same name may have begun.
for id in pairs(dropped) do
  call('UNLINK', cohort_key .. id, items_key .. id)
  call('ZREM', KEYS[3], id)
end
for _, cohort in pairs(cohorts) do
  if cohort and cohort.is_changed and not cohort.into and not cohort.is_dropped then
    local bitmap = items_key .. cohort.id
    cohort.record = struct.pack('>i8i8I8I8I8I8I8I8I8I8I8I8I8', cohort.first, cohort.last, cohort.accounts,
      cohort.verified, cohort.calls, cohort.in_message, cohort.deep, cohort.phrased, cohort.checked, cohort.repeated,
      cohort.pairs, cohort.answers, cohort.output_tokens)
    for _, list in ipairs({cohort.tiers, cohort.countries, cohort.template, cohort.seeds, cohort.overlaps}) do
      cohort.record = cohort.record .. struct.pack('>I4', #list) .. list
    end
    call('SET', cohort_key .. cohort.id, cohort.record, 'PX', life)
    if cohort.is_new then
      call('ZREM', KEYS[4], cohort.id)
      call('SETBIT', bitmap, ITEM_BITS - 1, 0)  -- the whole at once: one that grows is given twice the room
    end
    if cohort.was ~= cohort.last then
      call('ZADD', KEYS[3], cohort.last, cohort.id)
      call('PEXPIRE', KEYS[3], 2 * life)
    end
    if cohort.bitmaps[1] and (cohort.bitmaps[2] or cohort.is_new) then
      call('BITOP', 'OR', bitmap, unpack(cohort.bitmaps))
    end
    for at in pairs(cohort.bits) do
      call('SETBIT', bitmap, at, 1)
    end
    call('PEXPIRE', bitmap, life)
    cohort.is_changed = false
  end
end
for _, gone in ipairs(taken_in) do
  call('UNLINK', items_key .. gone.id)
  call('ZREM', KEYS[3], gone.id)
  call('SET', cohort_key .. gone.id, gone.into.id, 'PX', life)
  local over = queue(KEYS[4], gone.id, MOST_COHORTS)
  for at = 1, #over, 2 do
    call('UNLINK', cohort_key .. over[at])
  end
end

-- The index. A field that is written anew stands at the end.
local too_large = {}
for _, entry in ipairs(entries) do
  local shard, was, value = entry.shard, entry.was, entry.met_on .. entry.value
  if value ~= was then
    if entry.is_moved then
      call('HDEL', shard, entry.shingle)
    end
    call('HSET', shard, entry.shingle, value)
    if not was then
      local size = call('HLEN', shard)
      if size > MOST_OF_A_SHARD then
        too_large[shard] = true
      end
      if size % 8 == 1 then
        call('PEXPIRE', shard, 2 * life)
      end
    elseif entry.is_moved then
      call('PEXPIRE', shard, 2 * life)
    end
  end
end

-- Says whether a cohort is kept, by what is stored now.
local kept = {}
local function is_kept(id)
  if kept[id] == nil then
    local into = call('GETRANGE', cohort_key .. id, 0, 6)
    kept[id] = #into > 6 or (#into == 6 and is_kept(into))
  end
  return kept[id]
end

for shard in pairs(too_large) do
  local fields, gone, in_use = call('HGETALL', shard), {}, {}
  local over = #fields / 2 - STAY
  for at = 1, #fields, 2 do
    local list = #fields[at + 1] == 9 and is_kept(sub(fields[at + 1], 4)) and in_use or gone
    list[#list + 1] = fields[at]
    if #gone == over then
      break
    end
  end
  for at = 1, over - #gone do
    gone[#gone + 1] = in_use[at]
  end
  call('HDEL', shard, unpack(gone))
end

local matched_ids, is_listed = {}, {}
for _, cohort in ipairs(matched) do
  local id = root(cohort.id).id
  if not is_listed[id] then
    is_listed[id] = true
    table.insert(matched_ids, id)
  end
end
local answer = {now, 1, sub(record, TALLY_AT, TALLY_AT + TALLY_SIZE - 1), table.concat(matched_ids)}
for _, one in ipairs(account.cohorts) do
  table.insert(answer, one.id)
  table.insert(answer, one.calls)
  table.insert(answer, root(one.id).record)
end
return answer
