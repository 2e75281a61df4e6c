-- Goes on after see.lua: which cohorts the call matches, and which shingles have become ripe (2 to 4).
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
      local rest_at
      found.first, found.last, found.accounts, found.verified, found.calls, found.pairs, found.heard, found.in_message,
        found.deep, found.phrased, found.checked, found.repeated, found.by_chance, found.set, found.answers,
        found.answer_tokens, found.output_tokens, found.learned, found.tiers, found.countries, found.template, found.seeds, found.overlaps, rest_at = unpacked(COHORT, record)
      found.controls = sub(record, rest_at)
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

-- Counts accounts by who is behind them. Where there is no room, all are counted less by as many.
local function are_controlled(cohort, control, accounts)
  local list, at = cohort.controls, find(cohort.controls, control, 8)
  if accounts == 0 then
    return
  elseif at then
    local known = number('>I4', sub(list, at + 4))
    cohort.controls = sub(list, 1, at + 3) .. struct.pack('>I4', known + accounts) .. sub(list, at + 8)
  elseif #list < 8 * CONTROLS then
    cohort.controls = list .. control .. struct.pack('>I4', accounts)
  else
    local less = accounts
    for entry = 1, #list, 8 do
      less = math.min(less, number('>I4', sub(list, entry + 4)))
    end
    cohort.controls = ''
    for entry = 1, #list, 8 do
      local left = number('>I4', sub(list, entry + 4)) - less
      if left > 0 then
        cohort.controls = cohort.controls .. sub(list, entry, entry + 3) .. struct.pack('>I4', left)
      end
    end
    if accounts > less then
      cohort.controls = cohort.controls .. control .. struct.pack('>I4', accounts - less)
    end
  end
end

local function know_template(cohort, learned)
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

-- Of some with the earliest last calls, but for this one, returns that of the fewest accounts.
local function least_of_the_idle(id)
  local least, its, compared = nil, nil, 0
  for _, one in ipairs(call('ZRANGE', KEYS[3], expired, expired + COHORTS_COMPARED)) do
    if one ~= id and compared < COHORTS_COMPARED then
      local accounts = (root(one) or {accounts = 0}).accounts
      compared = compared + 1
      if not least or accounts < its then
        least, its = one, accounts
      end
    end
  end
  return least
end

-- A new cohort, or the one whose first shingle had been forgotten. When there are too many, another goes.
local function begin(id, seeds)
  local found = root(id)
  if found then
    return found
  end
  found = {id = id, is_new = true, bitmaps = {}, bits = {}, first = at_s, last = at_s, accounts = #seeds / 4,
    verified = 0, calls = 0, pairs = 0, heard = 0, in_message = 0, deep = 0, phrased = 0, checked = 0, repeated = 0,
    by_chance = 0, set = 0, answers = 0, answer_tokens = 0, output_tokens = 0, learned = 0, tiers = '', countries = '', template = '', seeds = seeds, overlaps = '', controls = ''}
  cohorts[id] = found
  if call('ZCARD', KEYS[3]) - expired + 1 > MOST_COHORTS then
    local least = least_of_the_idle(id)
    if least then
      local gone = root(least)
      dropped[least] = true
      cohorts[least] = false
      if gone then
        gone.is_dropped = true
      end
    end
  end
  return found
end

-- Ripe shingles become part of one of them, or a new one (4).
do
  local ripe, growing = {}, nil
  for _, entry in ipairs(entries) do
    if #entry.value == 4 * ACCOUNTS then
      table.insert(ripe, entry)
    end
  end
  for _, cohort in ipairs(matched) do
    if not growing and cohort.accounts <= LEARNS and cohort.learned < LEARNED then
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
    local taken = {}
    for at = 1, math.min(#ripe, LEARNED - growing.learned) do
      ripe[at].value = growing.id
      taken[at] = ripe[at].shingle
    end
    growing.learned = growing.learned + #taken
    know_template(growing, table.concat(taken))
  end
end
